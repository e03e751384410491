import { expect, test } from "vitest";
import { snippetPieces } from "./snippet";

test("marks become pieces, and what is escaped becomes plain text", () => {
  expect(snippetPieces("the <mark>har</mark>bour &amp; <mark>ships</mark>")).toEqual([
    { text: "the ", found: false }, { text: "har", found: true }, { text: "bour & ", found: false }, { text: "ships", found: true },
  ]);
});

test("each entity is read once, and no tag comes out of one", () => {
  expect(snippetPieces("&amp;lt;b&amp;gt; &lt;mark&gt;x&lt;/mark&gt; &quot;&#x27;")).toEqual([{ text: "&lt;b&gt; <mark>x</mark> \"'", found: false }]);
});
