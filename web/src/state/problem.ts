import { LegatoError } from "legato-client";
import { Store } from "./store";

/** What went wrong last and was asked for by a person, as a sentence or the key of one; empty: nothing. */
export const problem = new Store("");
/** What was done and can't be seen otherwise; empty: nothing. */
export const notice = new Store("");

/** The server's own sentence, or the key of ours where it has said nothing. */
export const why = (error: LegatoError): string => (error.code === "unreachable" ? "noServer" : error.detail);

/** Does what a person asked for. What goes wrong is told at the head of the page, and undefined returned. */
export async function act<Result>(doing: () => Promise<Result>): Promise<Result | undefined> {
  problem.put("");
  notice.put("");
  try {
    return await doing();
  } catch (error) {
    if (!(error instanceof LegatoError)) throw error;
    problem.put(why(error));
    return undefined;
  }
}
