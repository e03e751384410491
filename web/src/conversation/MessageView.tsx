import type { Message, Turn } from "legato-client";
import { memo } from "react";
import { beginEdit } from "../composer/asides";
import { draftOf } from "../composer/drafts";
import { modelFor } from "../composer/Pickers";
import { EditField } from "../controls/EditField";
import { focusHome } from "../controls/focusBack";
import { useWords } from "../i18n";
import { send, type Notice } from "../state/conversations";
import { MessageMeta } from "./MessageMeta";
import { Parts } from "./Parts";
import { plainText } from "./plainText";

export interface MessageProps {
  message: Message;
  isLast: boolean;
  /** Something runs or waits. */
  busy: boolean;
  readOnly: boolean;
  /** Its turn, of those that are still known. */
  turn: Turn | undefined;
  siblings: readonly string[] | undefined;
  notices: readonly Notice[];
  editing: boolean;
  onEdit: (id: string | null) => void;
}

/** Drawn anew only when something of it has changed. */
export const MessageView = memo(function MessageView(props: MessageProps) {
  const { message, editing, onEdit } = props;
  const words = useWords();
  if (message.role === "user" && message.message_type === "continue") return <div className="divider">{words("continued")}</div>;
  const save = async (text: string) => {
    send(message.session_id, text, { edits: message.id, modelId: modelFor(message.session_id) });
    onEdit(null);
    focusHome(); // what stands here goes, as another version comes
    return true;
  };
  return (
    <article
      className={`message ${message.role}`} data-status={message.status} data-key={message.id} aria-busy={message.status === "in_progress"}
      aria-label={words(message.message_type === "welcome" ? "welcomeOf" : message.role === "user" ? "youSaid" : "answerSaid")}
    >
      {editing ? (
        <EditField
          text={plainText(message)} onSave={save} onCancel={() => onEdit(null)}
          draft={draftOf(message.session_id)} onLose={(now, text) => beginEdit(now, message.id, text, plainText(message))}
        />
      ) : (
        <>
          <div className="body"><Parts message={message} turn={props.turn} /></div>
          <MessageMeta {...props} />
        </>
      )}
    </article>
  );
});
