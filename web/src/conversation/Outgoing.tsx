import { flushSync } from "react-dom";
import { giveBack } from "../composer/asides";
import { draftOf } from "../composer/drafts";
import { MentionedText } from "../composer/MentionedText";
import { focusBack } from "../controls/focusBack";
import { useWords, type Word } from "../i18n";
import { NEW } from "../state/choices";
import { conversations } from "../state/conversations";
import type { Outgoing as Entry } from "../state/outbox";
import { goTo } from "../state/route";

const TROUBLES: Record<string, Word> = { unreachable: "sendingLater", store_unavailable: "storeAway", store_full: "storeAway", queue_full: "serverBusy", busy: "serverBusy" };

/** A message from the click to the server's word. */
export function Outgoing({ entry }: { entry: Entry }) {
  const words = useWords();
  const again = () => {
    flushSync(() => conversations.outbox.again(entry));
    focusBack(null);
  };
  return (
    <article className="message user pending" data-status="pending" aria-label={words("youSaid")}>
      <div className="body">
        {entry.files?.map(({ id, name }) => <span key={id} className="attachment">{name}</span>)}
        <p className="text plain" dir="auto"><MentionedText text={entry.text} /></p>
      </div>
      <footer className="meta">
        <span role="status" className={entry.error ? "bad" : ""}>
          {entry.error ? words("notSent", { why: entry.error }) : words(TROUBLES[entry.trouble ?? ""] ?? "sending")}
        </span>
        {entry.error && <button type="button" className="quiet" onClick={again}>{words("tryAgain")}</button>}
        {entry.error && <button type="button" className="quiet" onClick={() => takeBack(entry)}>{words("takeBack")}</button>}
      </footer>
    </article>
  );
}

/** Out of the line, and back to where one writes: to a new chat, where the server has none for it. */
function takeBack(entry: Entry): void {
  const { sessionId, messageId } = entry;
  const exists = conversations.get(sessionId).read().state !== null;
  const draft = draftOf(exists ? sessionId : NEW);
  conversations.outbox.drop([messageId]);
  draft.put(giveBack(draft.read(), entry));
  if (!exists) goTo(null);
  document.getElementById("text")?.focus();
}
