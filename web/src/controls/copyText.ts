/** Puts a text on the clipboard; the old way where the browser keeps the new one for encrypted addresses. */
export async function copyText(text: string): Promise<void> {
  const modern = (navigator as Partial<Navigator>).clipboard;
  if (modern) {
    await modern.writeText(text);
    return;
  }
  const onCopy = (event: ClipboardEvent) => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
  };
  document.addEventListener("copy", onCopy, { once: true });
  document.execCommand("copy");
  document.removeEventListener("copy", onCopy);
}
