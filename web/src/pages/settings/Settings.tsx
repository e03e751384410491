import { useWords } from "../../i18n";
import { TopBar } from "../../shell/TopBar";

export default function Settings({ onMenu }: { onMenu: () => void }) {
  const words = useWords();
  return <TopBar title={words("settings")} onMenu={onMenu} />;
}
