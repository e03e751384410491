import type { KeyboardEvent } from "react";

/** Whether an input method takes this key. Safari ends the composition before the Enter that ends it, and marks that by 229. */
export function isComposing({ nativeEvent: { isComposing: composing, keyCode } }: KeyboardEvent): boolean {
  return composing || keyCode === 229;
}
