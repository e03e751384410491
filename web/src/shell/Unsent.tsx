import { useWords } from "../i18n";
import { conversations } from "../state/conversations";
import type { Outgoing } from "../state/outbox";
import { useStore } from "../state/store";

const A_FEW_WORDS = 40;

/** Messages that were refused in other chats than the one that is looked at, and the way there: such a chat may be in no list. */
export function Unsent({ current }: { current: string | null }) {
  const words = useWords();
  const refused = useStore(conversations.outbox).filter(({ error, sessionId }) => error && sessionId !== current);
  const [first] = refused;
  return (
    <div role="status" className="told">
      {first && (
        <p className="problem">
          <span dir="auto">{words("unsent", { n: refused.length, text: beginning(first) })}</span> <a href={`#${first.sessionId}`}>{words("showUnsent")}</a>
        </p>
      )}
    </div>
  );
}

function beginning({ text, files }: Outgoing): string {
  const said = text || files?.map(({ name }) => name).join(", ") || "";
  return said.length > A_FEW_WORDS ? `${said.slice(0, A_FEW_WORDS).trimEnd()}…` : said;
}
