import { useWords, type Word } from "../i18n";
import { Dialog } from "../controls/Dialog";

const KEYS: readonly [string, Word][] = [
  ["Ctrl Shift O", "keyNew"], ["Ctrl B", "keySidebar"], ["/", "keyFocus"], ["Esc", "keyStop"], ["?", "keyHelp"],
];

export function Shortcuts({ onClose }: { onClose: () => void }) {
  const words = useWords();
  return (
    <Dialog title={words("keysOf")} onClose={onClose}>
      <dl className="keys">
        {KEYS.map(([keys, what]) => (
          <div key={keys}><dt>{keys.split(" ").map((key) => <kbd key={key}>{key}</kbd>)}</dt><dd>{words(what)}</dd></div>
        ))}
      </dl>
      <div className="buttons"><button type="button" onClick={onClose}>{words("close")}</button></div>
    </Dialog>
  );
}
