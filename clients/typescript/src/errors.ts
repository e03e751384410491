/** What went wrong: the server's own `code`, or `unreachable`, or `not_legato`. `fields` carry the numbers. */
export class LegatoError extends Error {
  override readonly name = "LegatoError";
  readonly code: string;
  /** The HTTP status; 0 where there was no answer. */
  readonly status: number;
  readonly detail: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** How long the server asks to be left alone. */
  readonly retryAfterMs: number;

  constructor(code: string, status: number, detail: string, fields: Record<string, unknown> = {}, retryAfterMs = 0) {
    super(detail);
    this.code = code;
    this.status = status;
    this.detail = detail;
    this.fields = fields;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may well succeed later. */
  get passing(): boolean {
    // `remote_error`, `not_legato`: the words of something in between, a proxy or a login, and not of Legato.
    return ["unreachable", "remote_error", "not_legato"].includes(this.code) || [408, 425, 429].includes(this.status) || this.status >= 500;
  }

  static async of(response: Response): Promise<LegatoError> {
    const fields: unknown = await response.json().catch(() => null);
    const told = typeof fields === "object" && fields !== null ? (fields as Record<string, unknown>) : {};
    const between = [502, 503, 504].includes(response.status) ? "unreachable" : "remote_error"; // a proxy's own words
    const code = typeof told["code"] === "string" ? told["code"] : response.status === 401 ? "unauthenticated" : between;
    const detail = typeof told["detail"] === "string" ? told["detail"] : `HTTP ${String(response.status)}`;
    return new LegatoError(code, response.status, detail, told, 1000 * (Number(response.headers.get("Retry-After")) || 0));
  }
}
