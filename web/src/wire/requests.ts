const LONGEST_WAIT_MS = 10_000;
const ANSWER_MS = 20_000;

/** What the server said no with. `code` is stable. */
export class LegatoError extends Error {
  readonly code: string;
  readonly status: number;
  readonly detail: string;
  readonly fields: Record<string, unknown>;
  readonly waitMs: number;

  constructor(status: number, fields: Record<string, unknown>, waitMs = 0) {
    const detail = String(fields["detail"] ?? fields["title"] ?? `The server answered ${status}.`);
    super(detail);
    this.status = status;
    this.code = String(fields["code"] ?? "");
    this.detail = detail;
    this.fields = fields;
    this.waitMs = waitMs;
  }
  get passing(): boolean {
    return [408, 429, 502, 503, 504, 507].includes(this.status);
  }
  static async unless(response: Response): Promise<Response> {
    if (response.ok) return response;
    const fields = (await response.json().catch(() => ({}))) as Record<string, unknown>;
    throw new LegatoError(response.status, fields, 1000 * (Number(response.headers.get("Retry-After")) || 0));
  }
}

const alarm = new EventTarget();

/** Says that trying again is worth it now. */
export function hurry(): void {
  alarm.dispatchEvent(new Event("try"));
}

/** Waits, but no longer than until `hurry`. */
export function rest(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      alarm.removeEventListener("try", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    alarm.addEventListener("try", end);
  });
}

/** Exponential and jittered, so that a thousand pages don't come back in the same instant. */
export function backOff(baseMs: number, tries: number): number {
  return Math.min(LONGEST_WAIT_MS, baseMs * 2 ** tries) * (0.5 + Math.random() / 2);
}

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
    cache: "no-store",
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  await LegatoError.unless(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** Repeats a request until it is answered. Only for what may be repeated: reads, and what carries an id. */
export async function insist<T>(method: string, path: string, body?: unknown): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await call<T>(method, path, body);
    } catch (error) {
      if (error instanceof LegatoError && !error.passing) throw error;
      const wait = error instanceof LegatoError ? error.waitMs : 0;
      await rest(Math.max(wait, backOff(400, tries)));
    }
  }
}

/** `prefix_` and 26 characters. Not crypto.randomUUID(), which is missing outside of localhost and HTTPS. */
export function newId(prefix: string): string {
  const letters = "0123456789abcdefghjkmnpqrstvwxyz";
  const bytes = crypto.getRandomValues(new Uint8Array(26));
  return `${prefix}_${Array.from(bytes, (byte) => letters.charAt(byte & 31)).join("")}`;
}
