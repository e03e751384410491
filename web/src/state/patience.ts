import { Backoff, LegatoError } from "legato-client";

/** Repeats what may be repeated until the server has answered, however long it is away. `onTrouble` hears why it takes so long. */
export async function insist<Result>(doing: () => Promise<Result>, onTrouble?: (trouble: LegatoError) => void): Promise<Result> {
  const backoff = new Backoff();
  for (;;) {
    try {
      return await doing();
    } catch (error) {
      if (!(error instanceof LegatoError) || !error.repeatable) throw error;
      onTrouble?.(error);
      await rest(backoff.nextMs(error.retryAfterMs));
    }
  }
}

/** Waits, but no longer than until the network is back. */
function rest(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      removeEventListener("online", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    addEventListener("online", end);
  });
}
