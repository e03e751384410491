import { piecesOf } from "./mentions";

/** What a person wrote, as it was written, with the chats in it as links. */
export function MentionedText({ text }: { text: string }) {
  return piecesOf(text).map((piece, index) => (piece.href ? <a key={index} href={piece.href}>{piece.text}</a> : piece.text));
}
