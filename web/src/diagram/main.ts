import mermaid from "mermaid";
import { cleaned, harmless } from "./safety";

interface Order {
  source: string;
  dark: boolean;
  colours: Record<"paper" | "raised" | "sunk" | "ink" | "muted" | "line" | "accent" | "tint", string>;
}

/** A wide drawing shrinks to so much of its size, and is scrolled then. */
const SMALLEST = 0.6;
/** Settings that no diagram may change. */
const SECURE = [
  "secure", "securityLevel", "startOnLoad", "maxTextSize", "maxEdges", "suppressErrorRendering", "themeCSS", "themeVariables", "theme",
  "fontFamily", "altFontFamily", "htmlLabels", "dompurifyConfig", "look", "layout",
];

const tell = (word: object): void => parent.postMessage(word, "*");
let last = 0;

async function draw({ source, dark, colours: { paper, raised, sunk, ink, muted, line, accent, tint } }: Order): Promise<void> {
  const number = ++last;
  const safe = harmless(source);
  if (safe === null) throw new Error("not drawn");
  document.documentElement.style.colorScheme = dark ? "dark" : "light"; // as the page: else the frame is not transparent
  mermaid.initialize({
    startOnLoad: false, securityLevel: "strict", suppressErrorRendering: true, secure: SECURE, maxTextSize: 20_000, maxEdges: 300, theme: "base",
    fontFamily: "system-ui, sans-serif",
    themeVariables: {
      darkMode: dark, background: paper, primaryColor: tint, primaryTextColor: ink, primaryBorderColor: accent, secondaryColor: sunk, tertiaryColor: raised,
      lineColor: muted, textColor: ink, noteBkgColor: sunk, noteTextColor: ink, noteBorderColor: line, edgeLabelBackground: paper, dropShadow: "none", fontSize: "15px",
    },
  });
  const { svg } = await mermaid.render(`drawing-${number}`, safe);
  if (number !== last) return;
  document.body.replaceChildren(cleaned(svg));
  const drawing = document.querySelector<SVGSVGElement>("svg");
  const width = drawing?.viewBox.baseVal.width;
  if (drawing && width) drawing.style.cssText = `display:block;margin:auto;height:auto;max-width:none;width:min(${width}px,max(100%,${width * SMALLEST}px))`;
  report();
}
function report(): void {
  const drawing = document.querySelector("svg");
  if (drawing) tell({ height: Math.ceil(document.documentElement.offsetHeight) + (document.documentElement.scrollWidth > innerWidth ? 16 : 0) });
}

addEventListener("message", ({ source, data }: MessageEvent<Order>) => {
  if (source === parent) draw(data).catch(() => tell({ failed: true }));
});
new ResizeObserver(report).observe(document.documentElement);
tell({ ready: true });
