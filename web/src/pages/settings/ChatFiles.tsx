import { useWords } from "../../i18n";
import { openTransfer } from "../../sidebar/transferOpen";
import { Section } from "../Sheet";

/** All chats out, and those of elsewhere in. */
export function ChatFiles() {
  const words = useWords();
  return (
    <Section title={words("settingsData")} note={words("settingsDataNote")}>
      <button type="button" onClick={openTransfer}>{words("transfer")}</button>
    </Section>
  );
}
