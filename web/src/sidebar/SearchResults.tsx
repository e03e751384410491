import type { Hit } from "legato-client";
import { spoken, told, useWords } from "../i18n";
import { useStore } from "../state/store";
import { search } from "./search";
import { snippetPieces } from "./snippet";

const NEAR_THE_END_PX = 300;

/** Hits in titles first, then those in messages, each a way to its place. */
export function SearchResults() {
  const words = useWords();
  const { hits, busy, problem, hasMore } = useStore(search);
  const titles = hits?.filter((hit) => hit.message_id === null) ?? [];
  const messages = hits?.filter((hit) => hit.message_id !== null) ?? [];
  const more = ({ scrollHeight, scrollTop, clientHeight }: HTMLElement) => {
    if (hasMore && scrollHeight - scrollTop - clientHeight < NEAR_THE_END_PX) search.more();
  };
  return (
    <nav className="sessions hits" aria-label={words("hitsFound")} aria-busy={busy} onScroll={(event) => more(event.currentTarget)} onKeyDown={walk}>
      <p className="hint" role="status">
        {problem ? told(words, problem) : (hits === null ? words("searching") : hits.length === 0 && !busy ? words("noHits") : "")}
      </p>
      <Hits name={words("inTitles")} hits={titles} />
      <Hits name={words("inMessages")} hits={messages} />
    </nav>
  );
}

function Hits({ name, hits }: { name: string; hits: readonly Hit[] }) {
  const words = useWords();
  if (hits.length === 0) return null;
  return (
    <section>
      <h2>{name}</h2>
      <ul>
        {hits.map((hit) => (
          <li key={`${hit.session.id}/${hit.message_id ?? ""}`}>
            <a className="hit" href={hit.message_id ? `#${hit.session.id}/${hit.message_id}` : `#${hit.session.id}`}>
              {hit.message_id && (
                <span className="hit-place">
                  <span dir="auto">{hit.session.title || words("untitled")}</span>
                  <time dateTime={hit.created_at}>{new Date(hit.created_at).toLocaleDateString(spoken(), { day: "numeric", month: "short" })}</time>
                </span>
              )}
              <span className="hit-words" dir="auto"><Snippet html={hit.snippet} /></span>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Snippet({ html }: { html: string }) {
  return snippetPieces(html).map(({ text, found }, at) => (found ? <mark key={at}>{text}</mark> : text));
}

/** Arrow keys go from hit to hit, and up to the field. */
function walk(event: React.KeyboardEvent<HTMLElement>): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (step === 0) return;
  event.preventDefault();
  const links = [...event.currentTarget.querySelectorAll("a")];
  const at = links.indexOf(document.activeElement as HTMLAnchorElement) + step;
  if (at < 0) document.getElementById("search")?.focus();
  else links[at]?.focus();
}
