import type { Agent, Model } from "legato-client";
import { spoken, useWords } from "../../i18n";
import { agents, useModels } from "../../state/catalog";
import { useStore } from "../../state/store";
import { Section, Table } from "../Sheet";
import { dollars } from "../../i18n/numbers";

/** Who answers here, with which model, and what that costs; then the models that nobody has by default. */
export function Agents() {
  const words = useWords();
  const known = useStore(agents);
  const all = useModels();
  const free = all.filter(({ id }) => !known.some((agent) => agent.model_id === id));
  const head = (["settingsAgent", "settingsModel", "settingsWindow", "settingsIn", "settingsOut"] as const).map((each) => words(each));
  return (
    <Section title={words("settingsAgents")}>
      <Table label={words("settingsAgents")} head={head}>
        {known.map((agent) => <Row key={agent.id} agent={agent} model={all.find(({ id }) => id === agent.model_id)} />)}
        {free.map((model) => <Row key={model.id} model={model} />)}
      </Table>
    </Section>
  );
}

function Row({ agent, model }: { agent?: Agent; model: Model | undefined }) {
  const words = useWords();
  return (
    <tr>
      <td>{agent ? <Named agent={agent} /> : <span className="muted">–</span>}</td>
      <td>{agent?.demo ? <span className="muted">{words("demo")}</span> : <code>{model?.id ?? agent?.model_id ?? "–"}</code>}</td>
      <td className="number">{model ? model.context_window.toLocaleString(spoken()) : "–"}</td>
      <td className="number"><Price value={model?.cost_per_1m_input} /></td>
      <td className="number"><Price value={model?.cost_per_1m_output} /></td>
    </tr>
  );
}

function Named({ agent }: { agent: Agent }) {
  const words = useWords();
  const notes = [agent.role, agent.default && words("settingsDefault"), !agent.available && words("settingsOff")];
  return <>{agent.name}<br /><span className="muted settings-small">{notes.filter(Boolean).join(" · ")}</span></>;
}

const Price = ({ value }: { value: number | null | undefined }) => (value == null ? "–" : dollars(value, spoken()));
