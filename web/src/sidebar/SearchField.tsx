import { useState } from "react";
import { isComposing } from "../controls/isComposing";
import { useWords } from "../i18n";
import { agents } from "../state/catalog";
import { useStore } from "../state/store";
import { fetchSavedSearches, focusSearch, forgetSearch, savedSearches, saveSearch, search, type Role, type Status } from "./search";

export function SearchField() {
  const words = useWords();
  const { text } = useStore(search);
  const saved = useStore(savedSearches);
  const [within, setWithin] = useState(false);
  const asked = text.trim();
  const enter = () => {
    if (!within) void fetchSavedSearches();
    setWithin(true);
  };
  return (
    <search className="search" onFocus={enter} onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && setWithin(false)}>
      <input
        id="search" type="search" value={text} placeholder={words("search")} aria-label={words("search")} dir="auto" autoComplete="off"
        onChange={(event) => search.ask({ text: event.target.value })}
        onKeyDown={(event) => {
          if (isComposing(event)) return;
          if (event.key === "Escape" && text !== "") {
            event.preventDefault(); // or it would close the list, too
            search.ask({ text: "" });
          }
          if (event.key === "ArrowDown") {
            event.preventDefault();
            document.querySelector<HTMLElement>(".saved button, .hits a, .sidebar .row a[tabindex='0']")?.focus();
          }
        }}
      />
      {asked !== "" && <Filters />}
      {asked !== "" && !saved?.some(({ query }) => query === asked) && (
        <button type="button" className="quiet" onClick={() => void saveSearch(asked)}>{words("saveSearch")}</button>
      )}
      {within && asked === "" && saved !== null && saved.length > 0 && <SavedSearches />}
    </search>
  );
}

function SavedSearches() {
  const words = useWords();
  const saved = useStore(savedSearches) ?? [];
  const take = (query: string) => {
    search.ask({ text: query });
    document.getElementById("search")?.focus();
  };
  return (
    <section className="saved" aria-label={words("savedSearches")}>
      <h2>{words("savedSearches")}</h2>
      <ul>
        {saved.map(({ id, name, query }) => (
          <li key={id}>
            <button type="button" dir="auto" onClick={() => take(query)}>{name}</button>
            <button type="button" className="quiet" aria-label={words("forgetSearch", { name })} onClick={() => void forgetSearch(id).then(focusSearch)}>×</button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Filters() {
  const words = useWords();
  const { agentId, role, status } = useStore(search);
  const known = useStore(agents);
  return (
    <div className="filters">
      {known.length > 1 && (
        <select aria-label={words("byAgent")} value={agentId} onChange={(event) => search.ask({ agentId: event.target.value })}>
          <option value="">{words("byAgent")}</option>
          {known.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
        </select>
      )}
      <select aria-label={words("byRole")} value={role} onChange={(event) => search.ask({ role: event.target.value as Role | "" })}>
        <option value="">{words("byRole")}</option>
        <option value="user">{words("ofPerson")}</option>
        <option value="assistant">{words("ofAgent")}</option>
      </select>
      <select aria-label={words("byStatus")} value={status} onChange={(event) => search.ask({ status: event.target.value as Status | "" })}>
        <option value="">{words("byStatus")}</option>
        <option value="active">{words("activeChats")}</option>
        <option value="pinned">{words("pinned")}</option>
        <option value="archived">{words("archived")}</option>
        <option value="closed">{words("closedChats")}</option>
      </select>
    </div>
  );
}
