/** Some windows have none, and only say so when it is asked for. */
const storage = ((): Storage | null => {
  try {
    return localStorage;
  } catch {
    return null;
  }
})();

/** What this browser remembers, as JSON. Where there is no room for it, or none in this window, it holds as long as the tab. */
export function remember(key: string, value: unknown): void {
  try {
    storage?.setItem(key, JSON.stringify(value));
  } catch {
    // See above.
  }
}

/** Undefined where there is nothing, or nothing that this page has written. */
export function recall(key: string): unknown {
  return parsed(storage?.getItem(key) ?? null);
}

export function parsed(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

export const forget = (key: string): void => storage?.removeItem(key);

export const keysOf = (prefix: string): string[] => Object.keys(storage ?? {}).filter((key) => key.startsWith(prefix));
