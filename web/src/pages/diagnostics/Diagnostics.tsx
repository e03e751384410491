import { useWords } from "../../i18n";
import { TopBar } from "../../shell/TopBar";

export default function Diagnostics({ onMenu }: { onMenu: () => void }) {
  const words = useWords();
  return <TopBar title={words("diagnostics")} onMenu={onMenu} />;
}
