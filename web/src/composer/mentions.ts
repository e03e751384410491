/** `[title](#ses_…)`: a chat that a message speaks of. */
const MENTION = /\[([^\][\n]{1,200})\]\((#ses_\w+)\)/g;
const TYPED = /(^|\s)@([\p{L}\p{N}_.-]{0,40})$/u;
const SLASH = /^\/([\p{L}\p{N}-]*)$/u;

/** What is being typed up to the caret and can be completed. */
export type Trigger = { kind: "command"; typed: string; start: number } | { kind: "mention"; typed: string; start: number };

export function triggerOf(text: string, caret: number): Trigger | null {
  const command = caret === text.length ? SLASH.exec(text) : null;
  if (command) return { kind: "command", typed: command[1] ?? "", start: 0 };
  const mention = TYPED.exec(text.slice(0, caret));
  if (!mention) return null;
  const typed = mention[2] ?? "";
  return { kind: "mention", typed, start: caret - typed.length - 1 };
}

export function mentionOf(title: string, sessionId: string): string {
  return `[${title.replace(/[[\]\n]/g, " ").slice(0, 200).trim()}](#${sessionId})`;
}

/** A text in pieces, those with an address being mentions. */
export function piecesOf(text: string): { text: string; href?: string }[] {
  const pieces: { text: string; href?: string }[] = [];
  let from = 0;
  for (const { index, 0: whole, 1: title = "", 2: href = "" } of text.matchAll(MENTION)) {
    if (index > from) pieces.push({ text: text.slice(from, index) });
    pieces.push({ text: title, href });
    from = index + whole.length;
  }
  return from < text.length || pieces.length === 0 ? [...pieces, { text: text.slice(from) }] : pieces;
}
