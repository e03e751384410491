import { openSearch, toggleSidebar } from "../commands/navigation";
import { opened } from "../commands/opened";
import { Icon } from "../controls/Icon";
import { useWords } from "../i18n";
import { goTo, useRoute } from "../state/route";
import { sessions } from "../state/sessions";
import { useStore } from "../state/store";

/** What stays of the list of chats in focus mode. */
export function Rail() {
  const words = useWords();
  const { page } = useRoute();
  const waiting = useStore(sessions.approvals).length;
  const inbox = waiting > 0 ? words("inboxCount", { n: waiting }) : words("inbox");
  return (
    <nav className="rail" aria-label={words("railName")}>
      <button type="button" className="quiet" aria-label={words("menu")} title={words("menu")} onClick={toggleSidebar}><Icon name="chats" /></button>
      <a className="quiet" href="#" aria-label={words("newChat")} title={words("newChat")} onClick={(event) => { event.preventDefault(); goTo(null); }}><Icon name="new" /></a>
      <button type="button" className="quiet" aria-label={words("search")} title={words("search")} onClick={openSearch}><Icon name="search" /></button>
      <button type="button" className="quiet" aria-label={words("palette")} title={words("palette")} onClick={() => opened.put({ dialog: "palette" })}><Icon name="command" /></button>
      <a className="quiet" href="#inbox" aria-label={inbox} title={inbox} aria-current={page === "inbox" ? "page" : undefined}>
        <Icon name="inbox" />{waiting > 0 && <span className="count-badge" aria-hidden="true">{waiting}</span>}
      </a>
      <a className="quiet rail-last" href="#settings" aria-label={words("settings")} title={words("settings")} aria-current={page === "settings" ? "page" : undefined}><Icon name="settings" /></a>
    </nav>
  );
}
