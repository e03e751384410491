import type { Agent } from "legato-client";
import { useState } from "react";
import { Composer } from "../composer/Composer";
import { agentFor, modelFor } from "../composer/Pickers";
import { useWords } from "../i18n";
import { Link } from "../shell/Link";
import { TopBar } from "../shell/TopBar";
import { agents, defaultAgent } from "../state/catalog";
import { chosenAgent } from "../state/choices";
import { client } from "../state/client";
import { send } from "../state/conversations";
import { act } from "../state/problem";
import { goTo, goWhenMade } from "../state/route";
import { sessions } from "../state/sessions";
import { useStore } from "../state/store";

export function NewConversation({ onMenu }: { onMenu: () => void }) {
  const words = useWords();
  const known = useStore(agents);
  const agentId = useStore(chosenAgent);
  const { connection, retryAt, error } = useStore(sessions);
  const agent = known.find(({ id }) => id === agentId) ?? defaultAgent(known);
  const begin = (text: string) => goTo(send(null, text, { agentId: agentFor(), modelId: modelFor(null) }));
  return (
    <>
      <title>Legato</title>
      <TopBar title={words("newChat")} onMenu={onMenu}>{agent?.demo && <span className="badge">{words("demo")}</span>}</TopBar>
      <div className="welcome">
        <h2>{words("hello")}</h2>
        <p dir="auto">{agent?.description}</p>
        {agent?.welcomes && agent.available && <Welcome key={agent.id} agent={agent} />}
        <div className="suggestions">
          {agent?.suggestions.map((text) => <button key={text} type="button" onClick={() => begin(text)}>{text}</button>)}
        </div>
      </div>
      <div className="column bottom">
        <Composer sessionId={null} running={false} disabled={false} />
        <Link connection={connection} retryAt={retryAt} error={error} onTry={() => sessions.hurry()} />
      </div>
    </>
  );
}

/** Some agents speak first, if one lets them. */
function Welcome({ agent }: { agent: Agent }) {
  const words = useWords();
  const [asked, setAsked] = useState(false);
  const begin = async () => {
    setAsked(true);
    const model = modelFor(null);
    await goWhenMade(act(() => client.createSession({ agent_id: agent.id, welcome: true, ...(model ? { model_id: model } : {}) })));
    setAsked(false);
  };
  return <button type="button" disabled={asked} onClick={() => void begin()}>{words("letBegin", { name: agent.name })}</button>;
}
