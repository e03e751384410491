import { memo, useMemo } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import rehypeSanitize, { defaultSchema } from "rehype-sanitize";
import remarkGfm from "remark-gfm";
import remarkMath from "remark-math";
import { blocksOf } from "./markdownBlocks";
import { mathMarks } from "./mathMarks";
import { Fallback } from "./Fallback";
import { CodeBlock } from "./CodeBlock";
import { Maths } from "./Maths";
import { RemoteImage } from "./RemoteImage";
import "./answer.css";

// Raw HTML never gets here (there is no rehype-raw); whatever else the plugins make, the last word has the sanitiser.
const SCHEMA = {
  ...defaultSchema,
  clobberPrefix: "said-",
  attributes: { ...defaultSchema.attributes, code: [["className", /^language-[\w+#.-]+$/, "math-inline", "math-display"]] },
  protocols: { ...defaultSchema.protocols, href: ["http", "https", "mailto"], src: ["http", "https"] },
} satisfies typeof defaultSchema;

interface Node {
  type: string;
  children?: Node[];
}

/** HTML is shown as what it is, text: the sanitiser alone would take it out, and with it a part of what was said. */
function remarkHtmlAsText() {
  const change = (node: Node) => {
    if (node.type === "html") node.type = "text";
    node.children?.forEach(change);
  };
  return change;
}

function host(address: string | undefined): string {
  return address && URL.canParse(address) ? new URL(address).host : "";
}

const COMPONENTS: Components = {
  a: ({ href, children }) => {
    // A place in this text, or a path, leads nowhere here.
    if (!host(href) && !href?.startsWith("mailto:")) return <span>{children}</span>;
    return <a href={href} title={href} target="_blank" rel="noopener noreferrer nofollow ugc">{children}</a>;
  },
  img: ({ src, alt }) => (typeof src === "string" && host(src) ? <RemoteImage src={src} alt={alt ?? ""} host={host(src)} /> : <span>{alt}</span>),
  pre: ({ children }) => <>{children}</>,
  table: ({ children }) => <div className="table" tabIndex={0} role="group"><table>{children}</table></div>,
  code: ({ className, children }) => {
    const text = String(children ?? "");
    if (className?.includes("math-")) return <Maths source={text} display={className.includes("math-display")} />;
    if (className || text.endsWith("\n")) return <CodeBlock text={text.replace(/\n$/, "")} language={/language-(\S+)/.exec(className ?? "")?.[1] ?? ""} />;
    return <code>{children}</code>;
  },
  input: ({ checked }) => <input type="checkbox" checked={Boolean(checked)} readOnly disabled aria-label={checked ? "✓" : "–"} />,
};

const Block = memo(function Block({ text }: { text: string }) {
  return (
    <ReactMarkdown remarkPlugins={[remarkGfm, remarkMath, remarkHtmlAsText]} rehypePlugins={[[rehypeSanitize, SCHEMA]]} components={COMPONENTS}>
      {mathMarks(text)}
    </ReactMarkdown>
  );
});

/** A text that may still grow: only its last block is parsed anew, the others stay as they are. */
export function Markdown({ text, growing }: { text: string; growing: boolean }) {
  const blocks = useMemo(() => blocksOf(text), [text]);
  return (
    <div className={`text markdown ${growing ? "growing" : ""}`} dir="auto">
      {blocks.map((block, index) => <Fallback key={index} text={block}><Block text={block} /></Fallback>)}
    </div>
  );
}
