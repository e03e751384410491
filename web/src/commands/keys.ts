/** Keys as `Mod+Shift+O`; `Mod` is Command on a Mac and Control elsewhere. */
export type Keys = string;

type Pressed = Pick<KeyboardEvent, "key" | "code" | "ctrlKey" | "metaKey" | "shiftKey" | "altKey">;

const NAMES: Readonly<Record<string, string>> = { ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Backspace: "⌫" };
const ON_A_MAC: Readonly<Record<string, string>> = { Mod: "⌘", Shift: "⇧", Alt: "⌥" };

export const isMac = (): boolean => /^Mac|iPhone|iPad/.test(navigator.platform);

export function isPressed(keys: Keys, pressed: Pressed): boolean {
  const parts = keys.split("+");
  const key = parts.at(-1) ?? "";
  // A sign that takes Shift on some keyboards and not on others is what it is.
  const isSign = key.length === 1 && !/[a-z]/i.test(key);
  // Where letters are of another script, the one that stands in its place: Ctrl K is Ctrl Л on a Russian keyboard.
  const isInPlace = parts.includes("Mod") && pressed.code === `Key${key.toUpperCase()}` && isForeign(pressed.key);
  return (pressed.key.toLowerCase() === key.toLowerCase() || isInPlace)
    && (pressed.ctrlKey || pressed.metaKey) === parts.includes("Mod")
    && pressed.altKey === parts.includes("Alt")
    && (isSign || pressed.shiftKey === parts.includes("Shift"));
}

const isForeign = (key: string): boolean => /^\p{L}+$/u.test(key) && !/\p{Script=Latin}/u.test(key);

/** Whether the keys could be meant as text where text is written. */
export const writesText = (keys: Keys): boolean => !/^(Mod|Alt)\+|^F\d+$/.test(keys);

/** As they stand on the keyboard. */
export function caps(keys: Keys, mac = isMac()): string[] {
  return keys.split("+").map((key) => (mac ? ON_A_MAC[key] : undefined) ?? NAMES[key] ?? (key === "Mod" ? "Ctrl" : key));
}
