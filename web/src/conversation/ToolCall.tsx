import type { Part } from "legato-client";
import { useWords, type Word } from "../i18n";

type Call = Extract<Part, { type: "tool_call" }>;
type Result = Extract<Part, { type: "tool_result" }>;

const SAID: Record<string, Word> = { running: "runningTool", failed: "failedTool", done: "result", not_started: "toolNotStarted", outcome_unknown: "toolUnknown" };

/** `over`: its answer grows no more, so that a call without a result is no running one. */
export function ToolCall({ call, result, over }: { call: Call; result: Result | undefined; over: boolean }) {
  const words = useWords();
  const state = stateOf(result, over);
  return (
    <details className="tool" data-state={state}>
      <summary>
        <span className="tool-dot" aria-hidden="true" />
        <code>{call.name}</code>
        <span className="muted">{words(SAID[state] ?? "result")}</span>
      </summary>
      <h4>{words("arguments")}</h4>
      <pre tabIndex={0}>{call.arguments}</pre>
      {result && <><h4>{words("result")}</h4><pre tabIndex={0}>{result.output}</pre></>}
    </details>
  );
}

/** What the server closed itself says so in its first word. */
function stateOf(result: Result | undefined, over: boolean): string {
  if (!result) return over ? "outcome_unknown" : "running";
  const closed = /^(not_started|outcome_unknown):/.exec(result.output)?.[1];
  if (result.is_error && closed) return closed;
  return result.is_error ? "failed" : "done";
}
