import type { Connection, LegatoError } from "legato-client";
import { useSyncExternalStore } from "react";
import { told, useWords } from "../i18n";
import { why } from "../state/problem";
import { Reconnecting } from "./Reconnecting";

function subscribe(listener: () => void): () => void {
  addEventListener("online", listener);
  addEventListener("offline", listener);
  return () => { removeEventListener("online", listener); removeEventListener("offline", listener); };
}

interface Props {
  connection: Connection;
  retryAt: number | undefined;
  error: LegatoError | undefined;
  onTry: () => void;
  children?: React.ReactNode;
}

/** How the page and the server stand: why it waits, or was refused, and a way to try at once. */
export function Link({ connection, retryAt, error, onTry, children }: Props) {
  const words = useWords();
  const online = useSyncExternalStore(subscribe, () => navigator.onLine);
  const state = online || connection === "gone" ? connection : "offline";
  const refused = state === "closed" && error;
  return (
    <div className="status">
      <span id="link" role="status" data-state={state}>{words(refused ? "notConnected" : state === "closed" ? "connecting" : state)}</span>
      {refused && <span className="bad"><span dir="auto">{told(words, why(error))}</span> <button type="button" className="quiet" onClick={onTry}>{words("tryNow")}</button></span>}
      {retryAt !== undefined && <Reconnecting retryAt={retryAt} error={error} onTry={onTry} />}
      {children}
    </div>
  );
}
