import { useRowsFocus } from "../../controls/useRowsFocus";
import { useWords } from "../../i18n";
import { client } from "../../state/client";
import { act } from "../../state/problem";
import { Section } from "../Sheet";
import { useFetched } from "../useFetched";

export function SavedSearches() {
  const words = useWords();
  const rows = useRowsFocus();
  const [searches, again] = useFetched(client.savedSearches);
  const remove = async (id: string) => {
    await act(() => client.deleteSearch(id));
    await again();
  };
  return (
    <Section title={words("settingsSearches")}>
      {searches?.length === 0 && <p className="muted">{words("settingsNoSearches")}</p>}
      <ul {...rows} className="settings-list">
        {searches?.map(({ id, name, query }) => (
          <li key={id}>
            <span><span dir="auto">{name}</span> <span className="muted" dir="auto">{query}</span></span>
            <button type="button" aria-label={words("settingsDeleteSearch", { name })} onClick={() => void remove(id)}>{words("settingsDelete")}</button>
          </li>
        ))}
      </ul>
    </Section>
  );
}
