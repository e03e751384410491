import { Icon } from "../controls/Icon";
import { useWords, type Word } from "../i18n";
import { useRoute, type PageName } from "../state/route";
import { sessions } from "../state/sessions";
import { useStore } from "../state/store";
import { theme } from "../state/theme";
import { openTransfer } from "./transferOpen";

const PAGES: readonly PageName[] = ["memory", "settings", "diagnostics"];

export function SidebarFoot({ archived, onArchived, onHelp }: { archived: boolean; onArchived: () => void; onHelp: () => void }) {
  const words = useWords();
  const waiting = useStore(sessions.approvals).length;
  const { page } = useRoute();
  const chosen = useStore(theme);
  const dark = chosen === "dark" || (chosen === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  return (
    <footer className="sidebar-foot">
      <a className="inbox-link" href="#inbox" aria-current={page === "inbox" ? "page" : undefined}>
        <Icon name="inbox" />
        <span>{words("inbox")}</span>
        {waiting > 0 && <span className="count" aria-label={words("approvalsWaiting", { n: waiting })}>{waiting}</span>}
      </a>
      <button type="button" aria-pressed={archived} onClick={onArchived}><Icon name="archive" /><span>{words(archived ? "showActive" : "showArchived")}</span></button>
      <div className="foot-icons">
        {PAGES.map((name) => (
          <a key={name} href={`#${name}`} aria-label={words(name)} title={words(name)} aria-current={page === name ? "page" : undefined}><Icon name={name} /></a>
        ))}
        <FootButton word="transfer" icon="transfer" onPress={openTransfer} />
        <FootButton word={dark ? "toLight" : "toDark"} icon={dark ? "sun" : "moon"} onPress={() => theme.put(dark ? "light" : "dark")} />
        <FootButton word="keysOf" icon="help" onPress={onHelp} />
      </div>
    </footer>
  );
}

function FootButton({ word, icon, onPress }: { word: Word; icon: Parameters<typeof Icon>[0]["name"]; onPress: () => void }) {
  const words = useWords();
  return <button type="button" aria-label={words(word)} title={words(word)} onClick={onPress}><Icon name={icon} /></button>;
}
