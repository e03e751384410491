import { MentionedText } from "../composer/MentionedText";
import { useWords } from "../i18n";
import { conversations } from "../state/conversations";
import type { Outgoing as Entry } from "../state/outbox";

/** A message from the click to the server's word. */
export function Outgoing({ entry }: { entry: Entry }) {
  const words = useWords();
  return (
    <article className="message user pending" data-status="pending">
      <div className="body"><p className="text plain" dir="auto"><MentionedText text={entry.text} /></p></div>
      <footer className="meta">
        <span className={entry.error ? "bad" : ""}>{entry.error ? words("notSent", { why: entry.error }) : words("sending")}</span>
        {entry.error && <button type="button" className="quiet" onClick={() => conversations.outbox.drop([entry.messageId])}>{words("takeBack")}</button>}
      </footer>
    </article>
  );
}
