const LETTERS = "0123456789abcdefghjkmnpqrstvwxyz";

/** An id of one's own, so that creating and sending can be tried again: `kind` and 26 characters. */
export function newId(kind: "ses" | "msg"): string {
  const bytes = crypto.getRandomValues(new Uint8Array(26));
  return `${kind}_${Array.from(bytes, (byte, at) => LETTERS.charAt(at === 0 ? byte & 7 : byte & 31)).join("")}`;
}
