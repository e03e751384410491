import remend from "remend";

/** Ends the source of a formula that is not finished: it is shown as it is written. */
export const OPEN = "\uE000";

const CODE = /(`+)[^`]*(?:\1|$)/g;
const INLINE = /(?<![\\$\w])\$(?=[\\A-Za-z({[|])[^$\n]{0,120}$/;
/** A last line that may become a list, a heading, a line or a fence: it is shown when that is decided. */
const UNDECIDED = /(^|\n)[ \t]*(?:[-*+_=#>~`|]+|\d{1,9}[.)])[ \t]*$/;

const OPTIONS = { katex: false, htmlTags: false, singleTilde: false, comparisonOperators: false, setextHeadings: false };

/**
 * The end of a text that grows, as it will probably be: what is open is closed, so that it has the form from its first
 * character that it keeps in the end. `text` has been through `mathMarks`.
 */
export function finish(text: string): string {
  const [before, formula] = openFormula(text.replace(/(?<!\\)\\$/, ""));
  const decided = formula ? before : withTable(before.replace(UNDECIDED, "$1"));
  const [blank = ""] = /\s*$/.exec(decided) ?? [];
  return remend(decided, OPTIONS).trimEnd() + blank + formula;
}

/** What stands before a formula that is not closed, and that formula, closed. */
function openFormula(text: string): [string, string] {
  const bare = text.replace(CODE, (code) => " ".repeat(code.length));
  const at = [oddMark(bare), later(bare, "\\[", "\\]")].find((place) => place >= 0) ?? -1;
  if (at >= 0) return [text.slice(0, at), `\n\n$$\n${text.slice(at + 2).replace(/\$+$/, "").trim()}${OPEN}\n$$\n`];
  const inline = later(bare, "\\(", "\\)");
  const from = inline >= 0 ? inline : (INLINE.exec(bare)?.index ?? -1);
  if (from < 0) return [text.replace(/(?<![\\$\w])\$$/, ""), ""];
  const source = text.slice(from + (inline >= 0 ? 2 : 1)).replace(/[\n$]+/g, " ").trim();
  return [text.slice(0, from), source ? `$${source}${OPEN}$` : ""];
}

function oddMark(text: string): number {
  const marks = [...text.matchAll(/(?<!\\)\$\$/g)];
  return marks.length % 2 ? (marks.at(-1)?.index ?? -1) : -1;
}
const later = (text: string, opening: string, closing: string): number => {
  const at = text.lastIndexOf(opening);
  return at > text.lastIndexOf(closing) ? at : -1;
};

/** A table is one from its first line on: the line that makes it one is made up until it is there. */
function withTable(text: string): string {
  const run = /(?:(?:^|(?<=\n))\|[^\n]*(?:\n|$))+$/.exec(text)?.[0] ?? "";
  const start = text.length - run.length;
  const [head = "", second = "", ...more] = run.split(/(?<=\n)/);
  if (!head || more.length > 0 || !/^[|:\-\s]*$/.test(second)) return text;
  if (!head.endsWith("\n")) return text.slice(0, start);
  const cells = head.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).length;
  return `${text.slice(0, start)}${head}|${" - |".repeat(cells)}\n`;
}
