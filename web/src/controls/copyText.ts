import { problem } from "../state/problem";

/** Puts a text on the clipboard; the old way where the browser keeps the new one for encrypted addresses. Whether it could. */
export async function copyText(text: string): Promise<boolean> {
  const modern = (navigator as Partial<Navigator>).clipboard;
  const done = modern ? await modern.writeText(text).then(() => true, () => false) : copiedAsOfOld(text);
  if (!done) problem.put("notCopied");
  return done;
}

function copiedAsOfOld(text: string): boolean {
  const onCopy = (event: ClipboardEvent) => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
  };
  document.addEventListener("copy", onCopy, { once: true });
  const done = document.execCommand("copy");
  document.removeEventListener("copy", onCopy);
  return done;
}
