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
  get repeatable(): boolean {
    return [0, 408, 425, 429, 502, 503, 504, 507].includes(this.status);
  }
  /** Whether a stream goes on trying: it does no harm, so that nothing ends it but Legato's own word. */
  get passing(): boolean {
    // `remote_error`, `not_legato`: the words of something in between, a proxy or a login.
    return this.repeatable || this.code === "remote_error" || this.code === "not_legato" || this.status >= 500;
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
