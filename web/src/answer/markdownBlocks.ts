const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const MATHS = /^ {0,3}\$\$/;
// What may go on after an empty line: lists, quotes' and notes' continuations, indented text.
const BELONGS = /^(\s|[-*+] |\d+[.)] |>|\|)/;

/**
 * Cuts Markdown at empty lines where nothing can reach across, so that what is finished need not be read again.
 * Joined, the blocks are the text. Where a reference or a footnote is defined there is one block, for it may be used anywhere.
 */
export function blocksOf(text: string): string[] {
  if (/^ {0,3}\[[^\]]+\]:/m.test(text)) return [text];
  const blocks: string[] = [];
  let block = "";
  let fence = "";
  let empty = false;
  for (const line of text.split(/(?<=\n)/)) {
    const mark = FENCE.exec(line)?.[1] ?? (MATHS.test(line) ? "$$" : "");
    if (!fence && empty && block && !BELONGS.test(line) && line.trim()) {
      blocks.push(block);
      block = "";
    }
    if (!fence && mark) fence = mark === "$$" && line.trim().length > 2 && line.trim().endsWith("$$") ? "" : mark;
    else if (fence && mark.startsWith(fence) && line.trim() === mark) fence = "";
    else if (fence === "$$" && line.trim().endsWith("$$")) fence = "";
    empty = !fence && !line.trim();
    block += line;
  }
  return block ? [...blocks, block] : blocks;
}
