/**
 * What Mermaid is given and what it makes, each judged by itself: this holds where the policy of this document does not.
 * While it measures, Mermaid puts things into the document that it cleans only afterwards, so what fetches is kept from it.
 */
const FETCHES = /url\s*\(|image(?:-set)?\s*\(|@import|@\{[\s\S]*(?:img|icon|\\)|\bsrc\s*=|\\[0-9a-f]|<\s*(?:img|image|style|script|iframe|object|embed|link|svg|video|audio|use|base|meta)\b/i;
const ENTITY = /[#&]#?(lt|x[\da-f]{1,5}|\d{1,6});/gi;
const character = (_: string, code: string): string =>
  code.toLowerCase() === "lt" ? "<" : String.fromCodePoint(/^x/i.test(code) ? Number.parseInt(code.slice(1), 16) : Number(code));

/** The source without what changes the settings; null where it may fetch something. */
export function harmless(source: string): string | null {
  const bare = source.replace(/^\s*---\s*\n[\s\S]*?\n---\s*\n/, "").replace(/%%\{[\s\S]*?\}%%/g, "");
  return FETCHES.test(bare) || FETCHES.test(bare.replace(ENTITY, character)) || /%%\{/.test(bare) ? null : bare;
}

const FORBIDDEN = "script, iframe, object, embed, link, meta, base, form, input, button, textarea, img, image, feImage, video, audio, source, animate, set, animateTransform, animateMotion, template, noscript";
const ELSEWHERE = /url\s*\(\s*(?!["']?#)|@import|image-set|\\/i;

/** The drawing, without anything that runs, fetches or leads away. */
export function cleaned(drawing: string): DocumentFragment {
  // This document has no scripts to run: it is never shown.
  const { body } = new DOMParser().parseFromString(drawing, "text/html");
  body.querySelectorAll(FORBIDDEN).forEach((element) => element.remove());
  for (const element of body.querySelectorAll("*")) {
    if (element.localName === "style" && ELSEWHERE.test(element.textContent)) element.remove();
    for (const { name, value } of [...element.attributes]) {
      const leads = /^(?:xlink:)?href$/.test(name) && !value.startsWith("#");
      if (leads || /^on|^src|^action$|^formaction$/.test(name) || ELSEWHERE.test(value)) element.removeAttribute(name);
    }
  }
  const clean = document.createDocumentFragment();
  clean.append(...[...body.childNodes].map((node) => document.importNode(node, true)));
  return clean;
}
