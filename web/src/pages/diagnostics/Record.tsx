import type { StreamEnd } from "legato-client";
import { useState } from "react";
import { isWord, spoken, useWords } from "../../i18n";
import { reports, type Report } from "../../state/client";
import { sessions } from "../../state/sessions";
import { useStore } from "../../state/store";
import { Choice, Section, Table } from "../Sheet";
import { timeOf } from "../when";

interface End {
  at: number;
  code: string;
  reason: string | undefined;
  sessionId: string | undefined;
}

const ofServer = ({ at, code, reason, session_id: sessionId }: StreamEnd): End => ({ at: Date.parse(at), code, reason, sessionId });
const ofTab = ({ at, code, detail, sessionId }: Report): End => ({ at, code, reason: code === "client.stream.reader-error" ? detail : undefined, sessionId });

/** Why streams ended: as the server and all clients have told it, or as this tab alone has seen it, server or no server. */
export function Record({ ends }: { ends: readonly StreamEnd[] | undefined }) {
  const words = useWords();
  const own = useStore(reports);
  const [whose, setWhose] = useState<"server" | "tab">("server");
  const listed = whose === "server" ? ends?.map(ofServer) : own.map(ofTab).reverse();
  const head = (["diagWhen", "diagWhat", "diagCode", "diagReason", "diagChat"] as const).map((each) => words(each));
  return (
    <Section title={words("diagRecord")}>
      <Choice label={words("diagWho")} value={whose} choices={[["server", words("diagServer")], ["tab", words("diagThisTab")]]} onChoose={setWhose} />
      {listed?.length === 0 && <p className="empty">{words("diagNoEnds")}</p>}
      {listed && listed.length > 0 && (
        <Table label={words("diagRecord")} head={head}>{listed.map((end, at) => <Row key={listed.length - at} end={end} />)}</Table>
      )}
    </Section>
  );
}

function Row({ end: { at, code, reason, sessionId } }: { end: End }) {
  const words = useWords();
  const title = useStore(sessions).listed?.find(({ id }) => id === sessionId)?.title ?? words("untitled");
  return (
    <tr data-code={code}>
      <td className="number"><time dateTime={new Date(at).toISOString()}>{timeOf(at, spoken())}</time></td>
      <td>{isWord(code) ? words(code) : ""}</td>
      <td><code>{code}</code></td>
      <td>{reason && <code className="record-reason">{reason}</code>}</td>
      <td>{sessionId && <a className="record-chat" dir="auto" href={`#${sessionId}`}>{title}</a>}</td>
    </tr>
  );
}
