/** Some windows have none, and only say so when it is asked for. */
function storageOf(open: () => Storage): Storage | null {
  try {
    return open();
  } catch {
    return null;
  }
}
const storage = storageOf(() => localStorage);
/** Of this tab alone, through its reloads. */
export const tabStorage = storageOf(() => sessionStorage);

/** What this browser remembers, as JSON. Where there is no room for it, or none in this window, it holds as long as the tab. */
export function remember(key: string, value: unknown, where = storage): void {
  try {
    where?.setItem(key, JSON.stringify(value));
  } catch {
    // See above.
  }
}

/** Undefined where there is nothing, or nothing that this page has written. */
export function recall(key: string, where = storage): unknown {
  return parsed(where?.getItem(key) ?? null);
}

export function parsed(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

export const forget = (key: string, where = storage): void => where?.removeItem(key);

export const keysOf = (prefix: string): string[] => Object.keys(storage ?? {}).filter((key) => key.startsWith(prefix));
