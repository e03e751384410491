import { Kept } from "./kept";
import { Store } from "./store";

const isText = (found: unknown): boolean => typeof found === "string";

/** With whom the next conversation begins; empty: the default agent. Remembered. */
export const chosenAgent = new Kept("agent", "", isText);
/** The model for what is sent next; empty: the agent's or the session's own. */
export const chosenModel = new Store("");
