import { Kept } from "./kept";

export type TextSize = "small" | "normal" | "large";
export const TEXT_SIZES: readonly TextSize[] = ["small", "normal", "large"];
export const textSize = new Kept<TextSize>("textSize", "normal", (found) => TEXT_SIZES.includes(found as TextSize));

/** What sends a message; the other one begins a new line. */
export type SendWith = "enter" | "ctrl-enter";
export const SEND_WITH: readonly SendWith[] = ["enter", "ctrl-enter"];
export const sendWith = new Kept<SendWith>("sendWith", "enter", (found) => SEND_WITH.includes(found as SendWith));

export function watchTextSize(): void {
  const show = (): void => {
    document.documentElement.dataset["textSize"] = textSize.read();
  };
  show();
  textSize.subscribe(show);
}
