import type { Agent, Model } from "legato-client";
import type { Option } from "../controls/Options";
import { Picker } from "../controls/Picker";
import { useWords, type Say } from "../i18n";
import { agents, defaultAgent, models, useModels } from "../state/catalog";
import { chooseModel, chosenAgent, chosenModels, NEW } from "../state/choices";
import { goTo } from "../state/route";
import { useStore } from "../state/store";
import { shownOf } from "./shownOf";

/** With whom: a chat has one agent for good, so that another one begins a new chat. */
export function AgentPicker({ sessionId }: { sessionId: string | null }) {
  const words = useWords();
  const known = useStore(agents);
  const chosen = useStore(chosenAgent);
  const session = useStore(shownOf(sessionId)).state?.session;
  const agent = known.find(({ id }) => id === (session?.agent_id ?? chosen)) ?? (sessionId === null ? defaultAgent(known) : undefined);
  const name = agent?.name ?? session?.agent_name;
  if (name === undefined) return null;
  const pick = (id: string) => {
    chosenAgent.put(id);
    if (sessionId !== null && id !== session?.agent_id) goTo(null);
  };
  return (
    <Picker
      id="pick-agent" label={words("agent")} value={name} onPick={pick} note={sessionId === null ? undefined : words("oneAgent", { name })}
      options={known.map((each) => agentOption(each, each.id === agent?.id, words))}
    />
  );
}

function agentOption({ id, name, role, description, demo, available }: Agent, isChosen: boolean, words: Say): Option {
  const marks = [demo && words("demo"), !available && words("unavailable")].filter(Boolean).join(" · ");
  const detail = [role, description].filter(Boolean).join(" · ");
  return { id, label: name, isChosen, isOff: !available, ...(marks ? { aside: marks } : {}), ...(detail ? { detail } : {}) };
}

/** With which model, from the next message on. */
export function ModelPicker({ sessionId }: { sessionId: string | null }) {
  const words = useWords();
  const offered = useModels();
  const conversation = sessionId ?? NEW;
  const chosen = useStore(chosenModels)[conversation] ?? "";
  const session = useStore(shownOf(sessionId)).state?.session;
  const known = useStore(agents);
  const agentsChoice = useStore(chosenAgent);
  if (offered.length === 0) return null;
  const agent = known.find(({ id }) => id === (session?.agent_id ?? agentsChoice)) ?? defaultAgent(known);
  const ownId = session?.model_id ?? agent?.model_id;
  const own = offered.find(({ id }) => id === ownId)?.name ?? ownId ?? undefined;
  const first: Option = {
    id: "", label: words(session?.model_id ? "chatsModel" : "agentModel"), isChosen: chosen === "", ...(own ? { detail: own } : {}),
  };
  return (
    <Picker
      id="pick-model" label={words("model")} value={offered.find(({ id }) => id === chosen)?.name ?? own ?? first.label}
      onPick={(id) => chooseModel(conversation, id)} options={[first, ...offered.map((model) => modelOption(model, model.id === chosen, words))]}
    />
  );
}

function modelOption(model: Model, isChosen: boolean, words: Say): Option {
  const { cost_per_1m_input: input, cost_per_1m_output: output } = model;
  const facts = [
    model.context_window > 0 && words("window", { n: model.context_window }),
    input != null && words("price", { in: input, out: output ?? 0 }),
  ];
  const detail = facts.filter(Boolean).join(" · ");
  return { id: model.id, label: model.name, aside: model.provider, isChosen, ...(detail ? { detail } : {}) };
}

/** The model to send with; undefined where it is the agent's or the chat's own, or is offered no longer, as far as is known. */
export function modelFor(sessionId: string | null): string | undefined {
  const chosen = chosenModels.read()[sessionId ?? NEW];
  return models.read()?.every(({ id }) => id !== chosen) ? undefined : chosen;
}

/** The agent that a new conversation is begun with; undefined where it is the default one, or the chosen one is here no longer. */
export function agentFor(): string | undefined {
  const known = agents.read();
  const chosen = chosenAgent.read();
  return known.length > 0 && known.every(({ id }) => id !== chosen) ? undefined : chosen || undefined;
}
