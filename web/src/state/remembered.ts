/** What this browser remembers, as JSON. Where there is no room for it, or none in this window, it holds as long as the tab. */
export function remember(key: string, value: unknown): void {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // See above.
  }
}

/** Undefined where there is nothing, or nothing that this page has written. */
export function recall(key: string): unknown {
  return parsed(localStorage.getItem(key));
}

export function parsed(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

export const forget = (key: string): void => localStorage.removeItem(key);

export const keysOf = (prefix: string): string[] => Object.keys(localStorage).filter((key) => key.startsWith(prefix));
