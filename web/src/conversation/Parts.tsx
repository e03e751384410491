import type { Message, Part } from "legato-client";
import { useWords } from "../i18n";
import { Attachment } from "../answer/Attachment";
import { Markdown } from "../answer/Markdown";
import { MentionedText } from "../composer/MentionedText";
import { ToolCall } from "./ToolCall";

export function Parts({ message }: { message: Message }) {
  const words = useWords();
  const { parts = [] } = message;
  const results = new Map(parts.flatMap((part) => (part.type === "tool_result" ? [[part.call_id, part] as const] : [])));
  const growing = message.status === "in_progress";
  const last = parts.length - 1;
  const view = (part: Part, index: number) => {
    if (part.type === "reasoning") {
      return <details key={index} className="thought"><summary>{words("thinking")}</summary><p className="plain" dir="auto">{part.text}</p></details>;
    }
    if (part.type === "tool_call") return <ToolCall key={index} call={part} result={results.get(part.call_id)} />;
    if (part.type === "tool_result") return null;
    if (part.type === "file") return <Attachment key={index} file={part} />;
    if (message.role === "user") return <p key={index} className="text plain" dir="auto"><MentionedText text={part.text} /></p>;
    return <Markdown key={index} text={part.text} growing={growing && index === last} />;
  };
  return (
    <>
      {parts.map(view)}
      {growing && parts.length === 0 && <span className="caret" />}
    </>
  );
}
