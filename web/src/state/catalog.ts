import { LegatoError, type Agent, type Model } from "legato-client";
import { once } from "./client";
import { insist } from "./patience";
import { Store, useStore } from "./store";

/** Whom one can talk to; none until the server has told. */
export const agents = new Store<readonly Agent[]>([]);
/** With which models; null until the server has told. */
export const models = new Store<readonly Model[] | null>(null);
const NONE: readonly Model[] = [];
export const useModels = (): readonly Model[] => useStore(models) ?? NONE;

let asking = false;

/** Asks until it is told. Where it is refused, what a person does next is refused as well, and says why. */
export async function fetchCatalog(): Promise<void> {
  if (asking) return;
  asking = true;
  try {
    const [whom, which] = await Promise.all([insist(once.agents), insist(once.models)]);
    agents.put(whom);
    models.put(which);
  } catch (error) {
    if (!(error instanceof LegatoError)) throw error;
  } finally {
    asking = false;
  }
}

export function defaultAgent(among: readonly Agent[]): Agent | undefined {
  return among.find((agent) => agent.default) ?? among[0];
}
