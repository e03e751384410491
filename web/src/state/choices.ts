import { Kept } from "./kept";

const isText = (found: unknown): boolean => typeof found === "string";
const isTexts = (found: unknown): boolean => typeof found === "object" && found !== null && Object.values(found).every(isText);

/** With whom the next conversation begins; empty: the default agent. */
export const chosenAgent = new Kept("agent", "", isText);

/** Under which name the choices for a conversation that is still to begin are kept. */
export const NEW = "new";

/** The model for what is sent next, by conversation; where none is named, the agent's or the session's own. */
export const chosenModels = new Kept<Readonly<Record<string, string>>>("models", {}, isTexts);

export function chooseModel(conversation: string, modelId: string): void {
  const others = Object.entries(chosenModels.read()).filter(([id]) => id !== conversation);
  chosenModels.put(Object.fromEntries(modelId ? [...others, [conversation, modelId]] : others));
}

/** The list of chats is folded away, and the page is the conversation. */
export const focusMode = new Kept("focus", true, (found) => typeof found === "boolean");
