import { createContext, memo, use } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import rehypeSanitize, { defaultSchema } from "rehype-sanitize";
import remarkGfm from "remark-gfm";
import remarkMath from "remark-math";
import { CodeBlock } from "./CodeBlock";
import { Diagram } from "./Diagram";
import { ForeignLink } from "./ForeignLink";
import { fenced } from "./markdownBlocks";
import { Maths } from "./Maths";
import { mathMarks } from "./mathMarks";
import { NoteMark } from "./NoteMark";
import { rehypeCaret, remarkHtmlAsText, remarkNotes } from "./plugins";
import { RemoteImage } from "./RemoteImage";
import { host } from "./host";
import { finish } from "./unfinished";
import { usePaced } from "./usePaced";

// Raw HTML never gets here (there is no rehype-raw); whatever else the plugins make, the last word has the sanitiser.
const SCHEMA = {
  ...defaultSchema,
  clobberPrefix: "said-",
  attributes: {
    ...defaultSchema.attributes,
    code: [["className", /^language-[\w+#.-]+$/, "math-inline", "math-display"]],
    div: [["className", "note"], "dataLabel"],
    sup: [["className", "note-mark"]],
  },
  protocols: { ...defaultSchema.protocols, href: ["http", "https", "mailto"], src: ["http", "https"] },
} satisfies typeof defaultSchema;

/** Whether what stands here may still go on. */
const Growing = createContext(false);

const COMPONENTS: Components = {
  // The page's own heading is the first; those of an answer stand below it.
  h1: ({ children }) => <h2>{children}</h2>,
  h2: ({ children }) => <h3>{children}</h3>,
  h3: ({ children }) => <h4>{children}</h4>,
  h4: ({ children }) => <h5>{children}</h5>,
  h5: ({ children }) => <h6>{children}</h6>,
  a: ForeignLink,
  img: ({ src, alt }) => (typeof src === "string" && host(src) ? <RemoteImage src={src} alt={alt ?? ""} host={host(src)} /> : <span>{alt}</span>),
  pre: ({ children }) => <>{children}</>,
  table: ({ children }) => <div className="table" tabIndex={0} role="group"><table>{children}</table></div>,
  sup: ({ children, className }) => (className === "note-mark" ? <NoteMark label={String(children)} /> : <sup>{children}</sup>),
  code: function Code({ className, children }) {
    const growing = use(Growing);
    const text = String(children ?? "");
    if (className?.includes("math-")) return <Maths source={text} display={className.includes("math-display")} />;
    const language = /language-(\S+)/.exec(className ?? "")?.[1] ?? "";
    if (className || text.endsWith("\n")) return <CodeOrDiagram language={language} text={text.replace(/\n$/, "")} growing={growing} />;
    return <code>{children}</code>;
  },
  input: ({ checked }) => <input type="checkbox" checked={Boolean(checked)} readOnly disabled aria-label={checked ? "✓" : "–"} />,
};

function CodeOrDiagram(code: { language: string; text: string; growing: boolean }) {
  return code.language.toLowerCase() === "mermaid" && !code.growing ? <Diagram source={code.text} /> : <CodeBlock {...code} />;
}

interface Props {
  text: string;
  definitions: string;
  growing: boolean;
}

export const MarkdownBlock = memo(function MarkdownBlock({ text, definitions, growing }: Props) {
  const paced = usePaced(text, growing);
  const code = fenced(text);
  if (code) return <CodeOrDiagram language={code.language} text={code.code} growing={growing && !code.closed} />;
  const marked = mathMarks(paced);
  // Definitions come first: behind the text they could be taken for a part of it.
  const head = definitions && `${definitions}\n\n`;
  return (
    <Growing value={growing}>
      <ReactMarkdown
        remarkPlugins={[[remarkGfm, { singleTilde: false }], remarkMath, remarkHtmlAsText, [remarkNotes, head.length]]}
        rehypePlugins={growing ? [[rehypeSanitize, SCHEMA], rehypeCaret] : [[rehypeSanitize, SCHEMA]]}
        components={COMPONENTS}
      >
        {head + (growing ? finish(marked) : marked)}
      </ReactMarkdown>
    </Growing>
  );
});
