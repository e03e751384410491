import { useEffect } from "react";
import { speak, spoken, useWords, type Language } from "../../i18n";
import { focusMode } from "../../state/choices";
import { SEND_WITH, sendWith, TEXT_SIZES, textSize } from "../../state/preferences";
import { useStore } from "../../state/store";
import { theme, THEMES } from "../../state/theme";
import { askMemoryEnabled, memoryEnabled, switchMemory } from "../memory/memories";
import { Choice, Section, Sheet, Switch } from "../Sheet";
import { About } from "./About";
import { Agents } from "./Agents";
import { ChatFiles } from "./ChatFiles";
import { Grants } from "./Grants";
import { SavedSearches } from "./SavedSearches";
import { UsedThisMonth } from "./UsedThisMonth";
import "./settings.css";

const LANGUAGES: readonly (readonly [Language, string])[] = [["en", "English"], ["sv", "Svenska"], ["ru", "Русский"]];

export default function Settings({ onMenu }: { onMenu: () => void }) {
  const words = useWords();
  return (
    <Sheet title={words("settings")} onMenu={onMenu}>
      <Appearance />
      <Writing />
      <MemorySwitch />
      <Grants />
      <SavedSearches />
      <ChatFiles />
      <Agents />
      <UsedThisMonth />
      <About />
    </Sheet>
  );
}

function Appearance() {
  const words = useWords();
  const sizes = { small: words("settingsSmall"), normal: words("settingsNormal"), large: words("settingsLarge") };
  return (
    <Section title={words("settingsLook")} note={words("settingsNote")}>
      <div className="settings-row">
        <Choice label={words("settingsTheme")} value={useStore(theme)} choices={THEMES.map((each) => [each, words(each)])} onChoose={(each) => theme.put(each)} />
        <Choice label={words("settingsTextSize")} value={useStore(textSize)} choices={TEXT_SIZES.map((each) => [each, sizes[each]])} onChoose={(each) => textSize.put(each)} />
        <Choice label={words("language")} value={spoken()} choices={LANGUAGES} onChoose={speak} />
      </div>
      <Switch label={words("settingsFocus")} on={useStore(focusMode)} onChange={(on) => focusMode.put(on)} />
    </Section>
  );
}

function Writing() {
  const words = useWords();
  const keys = { enter: words("settingsEnter"), "ctrl-enter": words("settingsCtrlEnter") };
  return (
    <Section title={words("settingsWriting")}>
      <Choice label={words("settingsSendWith")} value={useStore(sendWith)} choices={SEND_WITH.map((each) => [each, keys[each]])} onChoose={(each) => sendWith.put(each)} />
      <p className="note settings-after">{words("settingsSendNote")}</p>
    </Section>
  );
}

function MemorySwitch() {
  const words = useWords();
  useEffect(() => void askMemoryEnabled(), []);
  return (
    <Section title={words("memory")} note={<>{words("settingsMemoryNote")} <a href="#memory">{words("settingsToMemory")}</a></>}>
      <Switch label={words("memorySwitch")} on={useStore(memoryEnabled)} onChange={(on) => void switchMemory(on)} />
    </Section>
  );
}
