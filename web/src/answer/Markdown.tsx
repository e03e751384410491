import { useState } from "react";
import { Fallback } from "./Fallback";
import { MarkdownBlock } from "./MarkdownBlock";
import { definitionsFor, growingBlocks } from "./markdownBlocks";
import "./answer.css";

/** A text that may still grow: only its last block is read anew, the others stay as they are. */
export function Markdown({ text, growing }: { text: string; growing: boolean }) {
  const [blocksOf] = useState(growingBlocks);
  const blocks = blocksOf(text);
  const definitions = new Map(blocks.flatMap((block) => [...block.defines]));
  return (
    <div className="text markdown" dir="auto">
      {blocks.map((block, index) => (
        <Fallback key={index} text={block.text}>
          <MarkdownBlock text={block.text} definitions={definitionsFor(block, definitions, growing)} growing={growing && index === blocks.length - 1} />
        </Fallback>
      ))}
      {growing && blocks.length === 0 && <span className="caret" aria-hidden="true" />}
    </div>
  );
}
