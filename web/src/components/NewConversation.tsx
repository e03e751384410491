import { useWords } from "../i18n";
import { legato, useLegato } from "../state/legato";
import { Composer } from "./Composer";
import { Link } from "./Link";
import { TopBar, describe } from "./TopBar";

export function NewConversation({ onMenu, onOpen }: { onMenu: () => void; onOpen: (id: string) => void }) {
  const words = useWords();
  const { agents, models, chosenAgent, chosenModel, link } = useLegato();
  const agent = agents.find(({ id }) => id === chosenAgent) ?? agents.find((each) => each.default) ?? agents[0];
  const send = (text: string) => onOpen(legato.send(null, text, "queue"));
  return (
    <>
      <title>Legato</title>
      <TopBar title={words("newChat")} agent={agent} gauge={null} onMenu={onMenu}>
        <select aria-label={words("agent")} value={agent?.id ?? ""} onChange={(event) => legato.choose(event.target.value)}>
          {agents.map(({ id, name, role, available }) => (
            <option key={id} value={id}>{[name, role, available === false && words("unavailable")].filter(Boolean).join(" · ")}</option>
          ))}
        </select>
        {models.length > 0 && (
          <select aria-label={words("model")} value={chosenModel ?? ""} onChange={(event) => legato.chooseModel(event.target.value || undefined)}>
            <option value="">{words("agentModel")}</option>
            {models.map((model) => <option key={model.id} value={model.id}>{describe(model, words)}</option>)}
          </select>
        )}
      </TopBar>
      <div className="welcome">
        <h2>{words("hello")}</h2>
        <p dir="auto">{agent?.description}</p>
        <div className="suggestions">
          {agent?.suggestions?.map((text) => <button key={text} type="button" onClick={() => send(text)}>{text}</button>)}
        </div>
      </div>
      <div className="column bottom">
        <Composer draftOf="new" running={false} disabled={false} onSend={send} />
        <Link connection={link} />
      </div>
    </>
  );
}
