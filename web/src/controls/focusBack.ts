/** Where the focus is lost, to this place, or else to where one writes, or else to the head of the page. */
export function focusBack(to: Element | null | undefined): void {
  const isLost = document.activeElement === document.body;
  const place = !isLost ? document.activeElement : to?.isConnected && to !== document.body ? to : home();
  if (isLost && place instanceof HTMLElement) place.focus({ preventScroll: true });
  // With a field that is taken away goes Chromium's caret, and a focused field without one takes no keys.
  const isField = place instanceof HTMLTextAreaElement || (place instanceof HTMLInputElement && place.selectionStart !== null);
  if (isField) place.setSelectionRange(place.selectionStart, place.selectionEnd);
}

/** To where one writes, or else to the head of the page. */
export const focusHome = (): void => home()?.focus({ preventScroll: true });

/** On a phone the keyboard would come up with the field. */
function home(): HTMLElement | null {
  return (matchMedia("(hover: hover)").matches ? document.getElementById("text") : null) ?? document.querySelector<HTMLElement>(".top h1");
}
