import { Dialog } from "../controls/Dialog";
import { useWords, type Word } from "../i18n";
import { COMMANDS, GROUPS, type Group } from "./commands";
import { Keyboard } from "./Keyboard";
import { caps, type Keys } from "./keys";
import "./commands.css";

/** The keys of the composer itself. */
const WRITING: readonly [Keys, Word][] = [["Enter", "keySend"], ["Shift+Enter", "keyNewLine"], ["/", "keySlash"], ["@", "keyMention"]];

function keysOf(group: Group): readonly [Keys, Word][] {
  const own = COMMANDS.flatMap((command): [Keys, Word][] => (command.group === group && command.keys ? [[command.keys, command.says]] : []));
  return group === "groupWrite" ? [...own, ...WRITING] : own;
}

export function KeyMap({ onClose }: { onClose: () => void }) {
  const words = useWords();
  return (
    <Dialog title={words("keysOf")} onClose={onClose}>
      <div className="key-map-scroll" tabIndex={0} role="group" aria-label={words("keysOf")}>
        <div className="key-map">
          {GROUPS.map((group) => (
            <section key={group}>
              <h3>{words(group)}</h3>
              <dl className="keys">
                {keysOf(group).map(([keys, says]) => <div key={says}><dt><Keyboard keys={keys} /></dt><dd>{words(says)}</dd></div>)}
              </dl>
            </section>
          ))}
        </div>
      </div>
      <p className="muted">{words("keysHint", { keys: caps("Mod+K").join(" ") })}</p>
      <div className="buttons"><button type="button" onClick={onClose}>{words("close")}</button></div>
    </Dialog>
  );
}
