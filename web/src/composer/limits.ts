/** What the server takes, told before it refuses. */
export const MOST_CHARACTERS = 50_000;
export const MOST_FILES = 10;
const MOST_BYTES = 20 * 1024 * 1024;
const NEAR = 0.9;
const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"];

/** How many characters there are, as the server counts them; null where the limit is far. */
export function nearLimit(text: string): number | null {
  if (text.length < MOST_CHARACTERS * NEAR) return null;
  const count = [...text].length;
  return count < MOST_CHARACTERS * NEAR ? null : count;
}

/** Why a file can't be sent; its bytes are looked at by the server. */
export function refusalOf({ size, type }: Pick<File, "size" | "type">): "tooBig" | "emptyFile" | "wrongKind" | null {
  if (size === 0) return "emptyFile";
  if (size > MOST_BYTES) return "tooBig";
  const isWrong = /^(audio|video|font)\//.test(type) || (type.startsWith("image/") && !IMAGES.includes(type)) || /zip|compressed|x-tar/.test(type);
  return isWrong ? "wrongKind" : null;
}
