import { Kept } from "./kept";

export type Theme = "auto" | "light" | "dark";
export const THEMES: readonly Theme[] = ["auto", "light", "dark"];
export const theme = new Kept<Theme>("theme", "auto", (found) => THEMES.includes(found as Theme));
const darkness = matchMedia("(prefers-color-scheme: dark)");

function show(): void {
  const chosen = theme.read();
  document.documentElement.dataset["theme"] = chosen === "auto" ? (darkness.matches ? "dark" : "light") : chosen;
}
export function watchTheme(): void {
  show();
  theme.subscribe(show);
  darkness.addEventListener("change", show);
}
