import type { Part } from "legato-client";
import { useWords } from "../i18n";

type Call = Extract<Part, { type: "tool_call" }>;
type Result = Extract<Part, { type: "tool_result" }>;

export function ToolCall({ call, result }: { call: Call; result: Result | undefined }) {
  const words = useWords();
  const state = !result ? "running" : result.is_error ? "failed" : "done";
  return (
    <details className="tool" data-state={state}>
      <summary>
        <span className="tool-dot" aria-hidden="true" />
        <code>{call.name}</code>
        <span className="muted">{words(state === "running" ? "runningTool" : state === "failed" ? "failedTool" : "result")}</span>
      </summary>
      <h4>{words("arguments")}</h4>
      <pre tabIndex={0}>{call.arguments}</pre>
      {result && <><h4>{words("result")}</h4><pre tabIndex={0}>{result.output}</pre></>}
    </details>
  );
}
