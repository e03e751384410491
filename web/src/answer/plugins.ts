import type { Element, ElementContent, Root as Html } from "hast";
import type { Nodes, Root } from "mdast";

/** HTML is shown as what it is, text: the sanitiser alone would take it out, and with it a part of what was said. */
export function remarkHtmlAsText() {
  const change = (node: Nodes) => {
    if (node.type === "html") Object.assign(node, { type: "text" });
    if ("children" in node) node.children.forEach(change);
  };
  return (tree: Root) => change(tree);
}

/** Notes stand where they were written, whatever block names them; those before `from` are only there so that their marks are read. */
export function remarkNotes(from: number) {
  const change = (node: Nodes) => {
    if (node.type === "footnoteReference") {
      const mark = { hName: "sup", hProperties: { className: ["note-mark"] } };
      Object.assign(node, { type: "noteMark", data: mark, children: [{ type: "text", value: node.label ?? node.identifier }] });
    } else if (node.type === "footnoteDefinition") {
      const note = { hName: "div", hProperties: { className: ["note"], dataLabel: node.label ?? node.identifier } };
      Object.assign(node, { type: "note", data: note });
    }
    if ("children" in node) node.children.forEach(change);
  };
  return (tree: Root) => {
    tree.children = tree.children.filter((node) => node.type !== "footnoteDefinition" || (node.position?.start.offset ?? 0) >= from);
    change(tree);
  };
}

const HOLDS = new Set(["p", "li", "ul", "ol", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "div", "table", "tbody", "thead", "tr", "td", "th"]);

/** Where the next word will stand. It takes no room, and code has its own. */
export function rehypeCaret() {
  return (tree: Html) => {
    let at: Html | Element = tree;
    let last = lastOf(at);
    while (last?.type === "element" && HOLDS.has(last.tagName)) {
      at = last;
      last = lastOf(at);
    }
    if (last?.type === "element" && last.tagName === "pre") return;
    at.children.push({ type: "element", tagName: "span", properties: { className: ["caret"], ariaHidden: "true" }, children: [] });
  };
}

const lastOf = ({ children }: Html | Element): Html["children"][number] | ElementContent | undefined =>
  children.findLast((child) => child.type === "element" || (child.type === "text" && child.value.trim()));
