import type { Connection } from "legato-client";
import { useSyncExternalStore } from "react";
import { useWords } from "../i18n";

function subscribe(listener: () => void): () => void {
  addEventListener("online", listener);
  addEventListener("offline", listener);
  return () => { removeEventListener("online", listener); removeEventListener("offline", listener); };
}

export function Link({ connection, children }: { connection: Connection; children?: React.ReactNode }) {
  const words = useWords();
  const online = useSyncExternalStore(subscribe, () => navigator.onLine);
  const state = online || connection === "gone" ? connection : "offline";
  return (
    <div className="status">
      <span id="link" role="status" data-state={state}>{words(state === "closed" ? "connecting" : state)}</span>
      {children}
    </div>
  );
}
