const FLOOR_MS = 50; // a server that asks for `retry: 0` must not make a page spin

/** Delays that double, each stretched by up to a half: a thousand readers that were cut at once don't come back at once. */
export class Backoff {
  readonly #random: () => number;
  readonly #mostMs: number;
  #firstMs = 500;
  #failures = 0;

  constructor(random: () => number = Math.random, mostMs = 15_000) {
    this.#random = random;
    this.#mostMs = mostMs;
  }
  /** The first delay from now on, as a server's `retry:` asks. */
  beginAt(milliseconds: number): void {
    this.#firstMs = Math.min(Math.max(milliseconds, FLOOR_MS), this.#mostMs);
  }
  succeeded(): void {
    this.#failures = 0;
  }
  nextMs(atLeastMs = 0): number {
    const doubled = Math.min(this.#mostMs, this.#firstMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return Math.max(doubled, atLeastMs) * (1 + this.#random() / 2);
  }
}
