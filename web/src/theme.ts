export type Theme = "auto" | "light" | "dark";
const KEY = "legato.theme";
const darkness = matchMedia("(prefers-color-scheme: dark)");

export const theme = (): Theme => (localStorage.getItem(KEY) as Theme | null) ?? "auto";

export function setTheme(next: Theme): void {
  localStorage.setItem(KEY, next);
  show();
}
function show(): void {
  const chosen = theme();
  document.documentElement.dataset["theme"] = chosen === "auto" ? (darkness.matches ? "dark" : "light") : chosen;
}
export function watchTheme(): void {
  show();
  darkness.addEventListener("change", show);
}
