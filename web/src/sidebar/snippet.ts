export interface Piece {
  text: string;
  found: boolean;
}

const ENTITIES: Readonly<Record<string, string>> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'", "&#39;": "'" };

/** A hit's snippet, which is escaped text with `<mark>` and no other tag, as plain text by pieces. */
export function snippetPieces(html: string): Piece[] {
  return html.split(/<mark>(.*?)<\/mark>/s).flatMap((part, at) => (part === "" ? [] : [{ text: unescaped(part), found: at % 2 === 1 }]));
}

function unescaped(text: string): string {
  return text.replace(/&(?:amp|lt|gt|quot|#x27|#39);/g, (entity) => ENTITIES[entity] ?? entity);
}
