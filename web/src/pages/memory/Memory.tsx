import { useWords } from "../../i18n";
import { TopBar } from "../../shell/TopBar";

export default function Memory({ onMenu }: { onMenu: () => void }) {
  const words = useWords();
  return <TopBar title={words("memory")} onMenu={onMenu} />;
}
