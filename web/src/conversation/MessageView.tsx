import { MessagePrimitive, useAuiState } from "@assistant-ui/react";
import type { Message } from "legato-client";
import { useState } from "react";
import { useWords } from "../i18n";
import { send } from "../state/conversations";
import { useConversation } from "./ConversationContext";
import { EditField } from "../controls/EditField";
import { MessageMeta } from "./MessageMeta";
import { Parts } from "./Parts";
import { plainText } from "./plainText";

export function MessageView() {
  const message = useAuiState((s) => s.message.metadata.custom["message"]) as Message | undefined;
  const words = useWords();
  const { messages } = useConversation();
  const [editing, setEditing] = useState(false);
  if (!message) return null;
  if (message.role === "user" && message.message_type === "continue") {
    return <MessagePrimitive.Root className="divider">{words("continued")}</MessagePrimitive.Root>;
  }
  const save = (text: string) => {
    setEditing(false);
    send(message.session_id, text, { edits: message.id });
  };
  return (
    <MessagePrimitive.Root className={`message ${message.role}`} data-status={message.status} data-key={message.id} aria-busy={message.status === "in_progress"}>
      {editing ? (
        <EditField text={plainText(message)} onSave={save} onCancel={() => setEditing(false)} />
      ) : (
        <>
          <div className="body"><Parts message={message} /></div>
          <MessageMeta message={message} isLast={messages.at(-1)?.id === message.id} onEdit={() => setEditing(true)} />
        </>
      )}
    </MessagePrimitive.Root>
  );
}
