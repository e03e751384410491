const FENCE = /^ {0,3}(`{3,}(?!.*`)|~{3,})/;
const MATHS = /^ {0,3}\$\$/;
/** What begins something new even without an empty line before it. */
const BEGINS = /^(`{3,}(?!.*`)|~{3,}|#{1,6} )/;
/** What may go on after an empty line: lists, quotes' and notes' continuations, indented text; also the beginning of such a line. */
const BELONGS = /^(\s|[-*+]( |$)|\d+([.)]( |$)|$)|>|\|)/;
const DEFINITION = /^ {0,3}\[((?:[^[\]\\]|\\.){1,200})\]:[ \t]*(\S[^\n]*)/gm;
const MENTION = /\[((?:[^[\]\\]|\\.){1,200})\]/g;
/** Beyond this, a list or a paragraph of many lines is cut between two of its lines: to read it again would take too long. */
const LONG = 8_000;

/** A part of a text that can be drawn by itself, if it is told the definitions that it uses. */
export interface Block {
  text: string;
  /** Where links and notes lead that are named here, by their labels. */
  defines: ReadonlyMap<string, string>;
  /** What may be the labels of such definitions elsewhere. */
  mentions: readonly string[];
}

/** Cuts Markdown where nothing can reach across, so that what is finished need not be read again. Joined, the pieces are the text. */
export function piecesOf(text: string): string[] {
  const pieces: string[] = [];
  let piece = "";
  let fence = "";
  let empty = false;
  let closed = false; // a block of code that is in nothing else
  for (const line of text.split(/(?<=\n)/)) {
    const mark = FENCE.exec(line)?.[1] ?? (MATHS.test(line) ? "$$" : "");
    const cuts = closed || BEGINS.test(line) || (empty && !BELONGS.test(line)) || (piece.length > LONG && goesOn(line));
    if (!fence && piece && line.trim() && cuts) {
      pieces.push(piece);
      piece = "";
    }
    if (line.trim()) closed = false;
    if (!fence && mark) fence = mark === "$$" && line.trim().length > 2 && line.trim().endsWith("$$") ? "" : mark;
    else if (fence && mark.startsWith(fence) && line.trim() === mark) {
      fence = "";
      closed = BEGINS.test(piece);
    } else if (fence === "$$" && line.trim().endsWith("$$")) fence = "";
    empty = !fence && !line.trim();
    piece += line;
  }
  return piece ? [...pieces, piece] : pieces;
}

/** Whether a list or a paragraph may be cut before this line, and still read the same. */
const goesOn = (line: string): boolean => !/^(\s|\||[01][.)])/.test(line);

function blockOf(text: string): Block {
  const code = FENCE.test(text);
  return {
    text,
    defines: new Map(code ? [] : [...text.matchAll(DEFINITION)].map(([, label = "", target = ""]) => [labelled(label), `[${label}]: ${label.startsWith("^") ? "." : target}`])),
    mentions: code ? [] : [...new Set([...text.matchAll(MENTION)].map(([, label = ""]) => labelled(label)))],
  };
}
const labelled = (label: string): string => label.toLowerCase().replace(/\s+/g, " ").trim();

/** The blocks of a text that grows: those that were finished before are the same objects as before. */
export function growingBlocks(): (text: string) => readonly Block[] {
  let known = "";
  let blocks: readonly Block[] = [];
  return (text) => {
    if (text === known) return blocks;
    const finished = text.startsWith(known) ? blocks.slice(0, -1) : [];
    const from = finished.length > 0 ? known.length - (blocks.at(-1)?.text.length ?? 0) : 0;
    blocks = [...finished, ...piecesOf(text.slice(from)).map(blockOf)];
    known = text;
    return blocks;
  };
}

/** What a block uses that is defined in others: as lines of Markdown. While a text grows its notes come later: their marks are taken for granted. */
export function definitionsFor({ text, defines, mentions }: Block, all: ReadonlyMap<string, string>, growing: boolean): string {
  if (mentions.length === 0 || /^\s/.test(text)) return "";
  return mentions
    .filter((label) => !defines.has(label))
    .map((label) => all.get(label) ?? (growing && /^\^\d{1,3}$/.test(label) ? `[${label}]: .` : ""))
    .filter(Boolean)
    .join("\n\n");
}

/** A block that is nothing but code: its words, and whether it is finished. */
export function fenced(text: string): { language: string; code: string; closed: boolean } | null {
  const opening = /^(`{3,}(?!.*`)|~{3,})[ \t]*([^\s`]*)[^\n]*(\n|$)/.exec(text);
  if (!opening) return null;
  const [head, mark = "", language = ""] = opening;
  const body = text.slice(head.length).trimEnd();
  const last = body.slice(body.lastIndexOf("\n") + 1).trim();
  const closed = last.startsWith(mark) && last.replaceAll(mark.slice(0, 1), "") === "";
  const code = closed ? body.slice(0, Math.max(0, body.lastIndexOf("\n"))) : text.slice(head.length).replace(/\n$/, "").replace(/\n {0,3}(`{1,2}|~{1,2})$/, "");
  return { language: /^[\w+#.-]+$/.test(language) ? language : "", code, closed };
}
