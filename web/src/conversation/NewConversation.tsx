import type { Model } from "legato-client";
import { Composer } from "../composer/Composer";
import { useWords, type Say } from "../i18n";
import { Link } from "../shell/Link";
import { TopBar } from "../shell/TopBar";
import { agents, defaultAgent, models } from "../state/catalog";
import { chosenAgent, chosenModel } from "../state/choices";
import { send } from "../state/conversations";
import { goTo } from "../state/route";
import { sessions } from "../state/sessions";
import { useStore } from "../state/store";

export function NewConversation({ onMenu }: { onMenu: () => void }) {
  const words = useWords();
  const known = useStore(agents);
  const offered = useStore(models);
  const agentId = useStore(chosenAgent);
  const modelId = useStore(chosenModel);
  const { connection } = useStore(sessions);
  const agent = known.find(({ id }) => id === agentId) ?? defaultAgent(known);
  return (
    <>
      <title>Legato</title>
      <TopBar title={words("newChat")} onMenu={onMenu}>
        {agent?.demo && <span className="badge">{words("demo")}</span>}
        <select aria-label={words("agent")} value={agent?.id ?? ""} onChange={(event) => chosenAgent.put(event.target.value)}>
          {known.map(({ id, name, role, available }) => (
            <option key={id} value={id}>{[name, role, !available && words("unavailable")].filter(Boolean).join(" · ")}</option>
          ))}
        </select>
        {offered.length > 0 && (
          <select aria-label={words("model")} value={modelId} onChange={(event) => chosenModel.put(event.target.value)}>
            <option value="">{words("agentModel")}</option>
            {offered.map((model) => <option key={model.id} value={model.id}>{describe(model, words)}</option>)}
          </select>
        )}
      </TopBar>
      <div className="welcome">
        <h2>{words("hello")}</h2>
        <p dir="auto">{agent?.description}</p>
        <div className="suggestions">
          {agent?.suggestions.map((text) => <button key={text} type="button" onClick={() => goTo(send(null, text, { agentId: agent.id }))}>{text}</button>)}
        </div>
      </div>
      <div className="column bottom">
        <Composer sessionId={null} running={false} disabled={false} />
        <Link connection={connection} />
      </div>
    </>
  );
}

function describe(model: Model, words: Say): string {
  const parts = [model.name];
  if (model.context_window) parts.push(words("window", { n: model.context_window }));
  if (model.cost_per_1m_input != null) parts.push(words("price", { in: model.cost_per_1m_input, out: model.cost_per_1m_output ?? 0 }));
  return parts.join(" · ");
}
