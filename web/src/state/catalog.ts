import type { Agent, Model } from "legato-client";
import { client } from "./client";
import { insist } from "./patience";
import { Store } from "./store";

/** Whom one can talk to, and with which models. */
export const agents = new Store<readonly Agent[]>([]);
export const models = new Store<readonly Model[]>([]);

export function fetchCatalog(): void {
  void insist(client.agents).then((found) => agents.put(found));
  void insist(client.models).then((found) => models.put(found));
}

export function defaultAgent(among: readonly Agent[]): Agent | undefined {
  return among.find((agent) => agent.default) ?? among[0];
}
