import { speak, spoken, useWords, type Language } from "../i18n";
import { useStore } from "../state/store";
import { theme, type Theme } from "../state/theme";

export function Preferences({ onHelp }: { onHelp: () => void }) {
  const words = useWords();
  return (
    <div className="preferences">
      <select aria-label={words("theme")} value={useStore(theme)} onChange={(event) => theme.put(event.target.value as Theme)}>
        <option value="auto">{words("auto")}</option>
        <option value="light">{words("light")}</option>
        <option value="dark">{words("dark")}</option>
      </select>
      <select aria-label={words("language")} value={spoken()} onChange={(event) => speak(event.target.value as Language)}>
        <option value="en">English</option>
        <option value="sv">Svenska</option>
        <option value="ru">Русский</option>
      </select>
      <button type="button" className="quiet" aria-label={words("keysOf")} onClick={onHelp}>?</button>
    </div>
  );
}
