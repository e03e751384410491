import { useWords } from "../../i18n";
import { TopBar } from "../../shell/TopBar";

export default function Inbox({ onMenu }: { onMenu: () => void }) {
  const words = useWords();
  return <TopBar title={words("inbox")} onMenu={onMenu} />;
}
