import type { Message } from "legato-client";
import { useWords } from "../i18n";
import { models } from "../state/catalog";
import { conversations, send } from "../state/conversations";
import { useStore } from "../state/store";
import { MenuButton } from "./MenuButton";
import { plainText } from "./plainText";

/** The question again, to another model: its answer stands beside this one, as another version. */
export function ModelMenu({ message }: { message: Message }) {
  const words = useWords();
  const offered = useStore(models);
  const question = conversations.get(message.session_id).read().messages.findLast((each) => each.role === "user" && each.message_type !== "continue");
  const text = question ? plainText(question) : "";
  const others = offered.filter(({ id }) => id !== message.model_id);
  if (!question || !text || others.length === 0) return null;
  const ask = (modelId: string) => () => void send(message.session_id, text, { edits: question.id, modelId });
  return <MenuButton label={words("withModel")} sign="▾" items={others.map(({ id, name }) => [name, ask(id)] as const)} />;
}
