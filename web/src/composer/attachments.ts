import { LegatoError } from "legato-client";
import type { Word } from "../i18n";
import { client } from "../state/client";
import { why } from "../state/problem";
import { Store } from "../state/store";
import { draftOf, type Attached } from "./drafts";
import { MOST_FILES, refusalOf } from "./limits";

let keys = 0;
const newKey = (): string => `${String(Date.now())}-${String((keys += 1))}`;

/** What can be tried again, as long as the tab lives. */
const held = new Map<string, File>();

/** How many bytes of each upload under way have gone, by key. */
export const sent = new Store<ReadonlyMap<string, number>>(new Map());

const nameOf = (file: File): string => file.name || `image.${file.type.split("/")[1] ?? "png"}`;

/** Puts files with a draft and sends them ahead. Those that can't go say why. Whether all of them are there. */
export async function attach(conversation: string, files: Iterable<File>): Promise<boolean> {
  const uploads: Promise<boolean>[] = [];
  for (const file of files) {
    const entry: Attached = { key: newKey(), name: nameOf(file), size: file.size, own: true };
    const room = MOST_FILES - draftOf(conversation).read().files.length;
    const refused: Word | null = room > 0 ? refusalOf(file) : "tooMany";
    add(conversation, refused ? { ...entry, problem: refused } : entry);
    if (!refused) held.set(entry.key, file);
    uploads.push(refused ? Promise.resolve(false) : upload(conversation, entry.key));
  }
  return (await Promise.all(uploads)).every(Boolean);
}

/** A file that a message of the conversation has already. */
export function attachAgain(conversation: string, file: { id: string; name: string; size: number; mediaType: string }): void {
  if (draftOf(conversation).read().files.some(({ id }) => id === file.id)) return;
  add(conversation, { ...file, key: newKey(), own: false });
}

/** Whether it is there. */
export async function upload(conversation: string, key: string): Promise<boolean> {
  const file = held.get(key);
  const entry = draftOf(conversation).read().files.find((each) => each.key === key);
  if (!file || !entry) return false;
  const { name, own } = entry;
  const fresh: Attached = { key, name, size: file.size, own };
  replace(conversation, key, fresh);
  try {
    const { id, size, media_type: mediaType } = await client.upload(file, name, (bytes) => sent.put(new Map(sent.read()).set(key, bytes)));
    held.delete(key);
    if (draftOf(conversation).read().files.some((each) => each.key === key)) replace(conversation, key, { ...fresh, id, size, mediaType });
    else void client.deleteFile(id).catch(ignore);
    return true;
  } catch (error) {
    if (!(error instanceof LegatoError)) throw error;
    replace(conversation, key, { ...fresh, problem: why(error) });
    return false;
  } finally {
    const others = new Map(sent.read());
    others.delete(key);
    sent.put(others);
  }
}

export const canRetry = (key: string): boolean => held.has(key);

export function detach(conversation: string, { key, id, own }: Attached): void {
  held.delete(key);
  draftOf(conversation).change({ files: draftOf(conversation).read().files.filter((each) => each.key !== key) });
  // If the server is not to be had now, it drops the file itself: nobody's files go after a day.
  if (id && own) void client.deleteFile(id).catch(ignore);
}

/** A draft may be older than the server keeps files without a message. */
export async function checkFiles(conversation: string): Promise<void> {
  for (const { id, key, ...entry } of draftOf(conversation).read().files) {
    if (!id) continue;
    const isGone = await client.file(id).then(() => false, (error: unknown) => error instanceof LegatoError && error.status === 404);
    if (isGone) replace(conversation, key, { ...entry, key, problem: "fileGone" });
  }
}

function add(conversation: string, entry: Attached): void {
  draftOf(conversation).change({ files: [...draftOf(conversation).read().files, entry] });
}
function replace(conversation: string, key: string, entry: Attached): void {
  draftOf(conversation).change({ files: draftOf(conversation).read().files.map((each) => (each.key === key ? entry : each)) });
}
function ignore(): undefined {
  return undefined;
}
