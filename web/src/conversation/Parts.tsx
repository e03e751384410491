import { isTerminal, type Message, type Part, type Turn } from "legato-client";
import { Attachment } from "../answer/Attachment";
import { Markdown } from "../answer/Markdown";
import { MentionedText } from "../composer/MentionedText";
import { useWords } from "../i18n";
import { ToolCall } from "./ToolCall";

export function Parts({ message, turn }: { message: Message; turn: Turn | undefined }) {
  const { parts = [] } = message;
  const results = new Map(parts.flatMap((part) => (part.type === "tool_result" ? [[part.call_id, part] as const] : [])));
  const growing = message.status === "in_progress";
  const last = parts.length - 1;
  const view = (part: Part, index: number) => {
    if (part.type === "reasoning") return <Thought key={index} text={part.text} growing={growing && index === last} />;
    if (part.type === "tool_call") return <ToolCall key={index} call={part} result={results.get(part.call_id)} over={isTerminal(message.status)} />;
    if (part.type === "tool_result") return null;
    if (part.type === "file") return <Attachment key={index} file={part} />;
    if (message.role === "user") return <p key={index} className="text plain" dir="auto"><MentionedText text={part.text} /></p>;
    return <Markdown key={index} text={part.text} growing={growing && index === last} />;
  };
  return (
    <>
      {parts.map(view)}
      {growing && turn?.phase && <Phase turn={turn} />}
      {growing && parts.length === 0 && !turn?.phase && <span className="caret" />}
    </>
  );
}

/** What was thought: closed, with its newest line while it goes on. */
function Thought({ text, growing }: { text: string; growing: boolean }) {
  const words = useWords();
  const line = growing ? text.trimEnd().split("\n").at(-1) : "";
  return (
    <details className="thought" data-growing={growing}>
      <summary>{words(growing ? "thinkingNow" : "thinking")}{line && <span className="live" dir="auto">{line}</span>}</summary>
      <p className="plain" dir="auto">{text}</p>
    </details>
  );
}

/** What the agent is at, as it says itself. */
function Phase({ turn }: { turn: Turn }) {
  const words = useWords();
  return <p className="doing" role="status" dir="auto">{[words(turn.phase ?? "answering"), turn.detail].filter(Boolean).join(": ")}</p>;
}
