import { expect, test } from "vitest";
import { caps, isPressed, writesText } from "./keys";

const pressed = (key: string, ...held: string[]) => ({
  key, code: held.find((each) => each.startsWith("Key")) ?? "", ctrlKey: held.includes("ctrl"), metaKey: held.includes("meta"), shiftKey: held.includes("shift"), altKey: held.includes("alt"),
});

test("Mod is Control or Command, and nothing else may be held", () => {
  expect(isPressed("Mod+K", pressed("k", "ctrl"))).toBe(true);
  expect(isPressed("Mod+K", pressed("k", "meta"))).toBe(true);
  expect(isPressed("Mod+K", pressed("K", "ctrl", "shift"))).toBe(false);
  expect(isPressed("Mod+K", pressed("k"))).toBe(false);
  expect(isPressed("Alt+ArrowUp", pressed("ArrowUp", "alt"))).toBe(true);
});

test("a sign is the same with Shift and without", () => {
  expect(isPressed("?", pressed("?", "shift"))).toBe(true);
  expect(isPressed("/", pressed("/", "shift"))).toBe(true);
  expect(isPressed("?", pressed("?", "ctrl"))).toBe(false);
});

test("keys are named as on the keyboard, and only those without a modifier write", () => {
  expect(caps("Mod+Shift+Backspace", false)).toEqual(["Ctrl", "Shift", "⌫"]);
  expect(caps("Mod+Shift+O", true)).toEqual(["⌘", "⇧", "O"]);
  expect(["/", "Escape", "F2", "Alt+ArrowUp", "Mod+K"].filter(writesText)).toEqual(["/", "Escape"]);
});

test("where letters are of another script, a key is where it is on a Latin keyboard", () => {
  expect(isPressed("Mod+K", pressed("л", "ctrl", "KeyK"))).toBe(true);
  expect(isPressed("Mod+Shift+O", pressed("Щ", "meta", "shift", "KeyO"))).toBe(true);
  expect(isPressed("Mod+B", pressed("لا", "ctrl", "KeyB"))).toBe(true);
  expect(isPressed("Mod+K", pressed("т", "ctrl", "KeyN"))).toBe(false);
  expect(isPressed("Mod+K", pressed("л", "KeyK"))).toBe(false);
  // Dvorak: what is written on the key counts.
  expect(isPressed("Mod+K", pressed("t", "ctrl", "KeyK"))).toBe(false);
  expect(isPressed("Mod+W", pressed(",", "ctrl", "KeyW"))).toBe(false);
});
