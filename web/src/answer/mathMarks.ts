/**
 * Models write maths as \( \), \[ \] and $ $, and prices as $5: the first become what remark-math reads, the last stay
 * prices. Code is left as it is.
 */
export function mathMarks(block: string): string {
  if (/^ {0,3}(`{3,}|~{3,})/.test(block) || /^( {4}|\t)/.test(block)) return block;
  return block
    .split(/(`+[^`]*`+)/)
    .map((piece, index) => (index % 2 ? piece : marked(piece)))
    .join("");
}

function marked(text: string): string {
  return text
    .replace(/(?<!\\)\\\(([^\n]+?)\\\)/g, (_, inner: string) => `$${inner.trim()}$`)
    .replace(/(?<!\\)\\\[([\s\S]+?)\\\]/g, (_, inner: string) => `\n$$\n${inner.trim()}\n$$\n`)
    .replace(/(?<![\\$])\$(?=\d[\d.,]*(?:[\s;:)!?]|$))/g, "\\$");
}
