import type { Message } from "legato-client";
import { useWords } from "../i18n";
import { useModels } from "../state/catalog";
import { goOn } from "../state/conversations";
import { MenuButton } from "./MenuButton";

/** Another model's answer to the same question: it stands beside this one, as another version. */
export function ModelMenu({ message }: { message: Message }) {
  const words = useWords();
  const others = useModels().filter(({ id }) => id !== message.model_id);
  if (others.length === 0) return null;
  const ask = (modelId: string) => () => void goOn(message.session_id, message.turn_id, "retry", modelId);
  return <MenuButton label={words("withModel")} sign="▾" items={others.map(({ id, name }) => [name, ask(id)] as const)} />;
}
