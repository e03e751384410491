import type { Memory as Remembered } from "legato-client";
import { useEffect, useState } from "react";
import { Confirm } from "../../controls/Confirm";
import { useRowsFocus } from "../../controls/useRowsFocus";
import { useWords } from "../../i18n";
import { agents } from "../../state/catalog";
import { useStore } from "../../state/store";
import { Section, Sheet, Switch } from "../Sheet";
import { askMemoryEnabled, memories, memoryEnabled, switchMemory } from "./memories";
import { MemoryItem } from "./MemoryItem";
import "./memory.css";

const isFound = (memory: Remembered, search: string, kind: string): boolean =>
  (!kind || memory.kind === kind) && memory.text.toLowerCase().includes(search.trim().toLowerCase());

export default function Memory({ onMenu }: { onMenu: () => void }) {
  const words = useWords();
  const enabled = useStore(memoryEnabled);
  useEffect(() => {
    void memories.load("");
    void askMemoryEnabled();
  }, []);
  return (
    <Sheet title={words("memory")} onMenu={onMenu}>
      <Section title={words("memoryAbout")} note={words("memoryWhat")}>
        <Switch label={words("memorySwitch")} on={enabled} onChange={(on) => void switchMemory(on)} />
        {enabled === false && <p className="note warn memory-off">{words("memoryIsOff")}</p>}
      </Section>
      <Section title={words("memoryList")}><Listed /></Section>
    </Sheet>
  );
}

function Listed() {
  const words = useWords();
  const { data, next, loading, stuck, agentId } = useStore(memories);
  const [search, setSearch] = useState("");
  const [kind, setKind] = useState("");
  const [asking, setAsking] = useState(false);
  const known = useStore(agents);
  const rows = useRowsFocus();
  useEffect(() => {
    if (search && next !== null && !loading && !stuck) void memories.more(); // what is searched in is all of it
  }, [search, next, loading, stuck]);

  if (data === null) return <p className="opening">{words("loading")}</p>;
  if (data.length === 0 && !agentId && !loading) return <p className="empty">{words("memoryNone")}</p>;
  const found = data.filter((memory) => isFound(memory, search, kind));
  const kinds = [...new Set(data.map((memory) => memory.kind))].sort();
  const agent = known.find(({ id }) => id === agentId)?.name ?? agentId;
  const forgetAll = agentId ? words("memoryForgetAgent", { agent }) : words("memoryForgetAll");
  return (
    <>
      <div className="memory-filters">
        <input type="search" aria-label={words("memorySearch")} placeholder={words("memorySearch")} value={search} onChange={(event) => setSearch(event.target.value)} />
        {known.length > 1 && (
          <select aria-label={words("memoryAgent")} value={agentId} onChange={(event) => void memories.load(event.target.value)}>
            <option value="">{words("memoryAllAgents")}</option>
            {known.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
          </select>
        )}
        {(kinds.length > 1 || kind) && (
          <select aria-label={words("memoryKind")} value={kind} onChange={(event) => setKind(event.target.value)}>
            <option value="">{words("memoryAllKinds")}</option>
            {kinds.map((each) => <option key={each}>{each}</option>)}
          </select>
        )}
      </div>
      {found.length === 0 && !loading && <p className="empty">{words("memoryNoHits")}</p>}
      <ul {...rows} className="memories">{found.map((memory) => <MemoryItem key={memory.id} memory={memory} />)}</ul>
      <div className="memory-foot">
        <span className="muted" role="status">{words("memoryCount", { n: found.length })}</span>
        {next !== null && (!search || stuck) && <button type="button" disabled={loading} onClick={() => void memories.more()}>{words("memoryMore")}</button>}
        {data.length > 0 && <button type="button" className="danger" onClick={() => setAsking(true)}>{forgetAll}</button>}
      </div>
      {asking && (
        <Confirm
          title={`${forgetAll}?`} body={words("memoryForgetAllBody")} action={words("memoryForget")}
          onAgree={() => void memories.forgetAll()} onClose={() => setAsking(false)}
        />
      )}
    </>
  );
}
