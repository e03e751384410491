import type { Element, ElementContent } from "hast";
import type { ReactNode } from "react";
import { host, misleads } from "./host";

interface Props {
  node?: Element | undefined;
  href?: string | undefined;
  children?: ReactNode;
}

/** A link out of the page (or to another chat), in a tab of its own, which learns nothing of this one. Where it leads is shown where its words say something else. */
export function ForeignLink({ node, href, children }: Props) {
  if (href && /^#ses_\w+$/.test(href)) return <a href={href}>{children}</a>; // another chat, as a mention names it
  // A place in this text, or a path, leads nowhere here.
  if (!href || (!host(href) && !href.startsWith("mailto:"))) return <span>{children}</span>;
  const target = { href, title: href, target: "_blank", rel: "noopener noreferrer nofollow ugc" };
  // An image has a link of its own.
  if (node && has(node, "img")) return <span>{children} <a {...target}>{host(href)}</a></span>;
  return <><a {...target}>{children}</a>{node && misleads(textOf(node), href) && <span className="true-host"> ({host(href) || href})</span>}</>;
}

const textOf = (node: ElementContent): string => (node.type === "text" ? node.value : node.type === "element" ? node.children.map(textOf).join("") : "");
const has = (node: Element, name: string): boolean => node.children.some((child) => child.type === "element" && (child.tagName === name || has(child, name)));
