import { Confirm } from "../controls/Confirm";
import { useWords } from "../i18n";
import { client } from "../state/client";
import { act } from "../state/problem";
import { sessions } from "../state/sessions";
import { useStore } from "../state/store";
import { KeyMap } from "./KeyMap";
import { opened } from "./opened";
import { Palette } from "./Palette";
import { RenameDialog } from "./RenameDialog";
import { Templates } from "./Templates";

/** The dialog that a command has opened. */
export function Dialogs() {
  const words = useWords();
  const shown = useStore(opened);
  const close = () => opened.put(null);
  if (!shown) return null;
  if (shown.dialog === "palette") return <Palette key={shown.only} onlyChats={shown.only === "chats"} onClose={close} />;
  if (shown.dialog === "keys") return <KeyMap onClose={close} />;
  if (shown.dialog === "templates") return <Templates onClose={close} />;
  const { session } = shown;
  const title = session.title || words("untitled");
  if (shown.dialog === "rename") return <RenameDialog session={session} onClose={close} />;
  if (shown.dialog === "clear") {
    const clear = () => void act(() => client.clear(session.id));
    return <Confirm title={words("clearTitle")} body={words("clearBody", { title })} action={words("clear")} onAgree={clear} onClose={close} />;
  }
  return <Confirm title={words("deleteTitle")} body={words("deleteBody", { title })} action={words("delete")} onAgree={() => void sessions.remove(session.id)} onClose={close} />;
}
