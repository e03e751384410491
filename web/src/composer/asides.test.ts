import { expect, test } from "vitest";
import { beginEdit, giveBack } from "./asides";
import type { Draft } from "./drafts";

const file = (id: string) => ({ id, key: id, name: `${id}.txt`, size: 1, own: true });
const sent = { id: "fil_9", name: "sent.txt", size: 2 };
const back = { ...sent, key: "fil_9", own: false };
const writing: Draft = { text: "new", files: [file("fil_1"), file("fil_2")] };
const editing: Draft = { text: "first, changed", files: [file("fil_1")], edits: { messageId: "msg_1", aside: "half-written", original: "first" } };

test("an edit puts aside what was being written, and what waits there already stays", () => {
  expect(beginEdit(writing, "msg_1", "first", "first")).toEqual({ ...writing, text: "first", edits: { messageId: "msg_1", aside: "new", original: "first" } });
  expect(beginEdit({ ...editing, text: "first" }, "msg_2", "second", "second").edits?.aside).toBe("half-written");
  expect(beginEdit(editing, "msg_2", "second", "second")).toEqual({
    ...editing, text: "second", edits: { messageId: "msg_2", aside: "half-written\nfirst, changed", original: "second" },
  });
});

test("an edit that comes back takes nothing from what is being written", () => {
  expect(giveBack(writing, { text: "refused", files: [sent, { ...sent, id: "fil_2" }], edits: "msg_1" })).toEqual({
    text: "refused", files: [...writing.files, back], edits: { messageId: "msg_1", aside: "new" },
  });
});

test("a message that comes back in the midst of an edit waits aside, and else stands first", () => {
  expect(giveBack(editing, { text: "refused", files: [sent] })).toEqual({
    ...editing, files: [...editing.files, back], edits: { ...editing.edits, aside: "refused\nhalf-written" },
  });
  expect(giveBack(writing, { text: "refused" })).toEqual({ ...writing, text: "refused\nnew" });
  expect(giveBack({ text: "", files: [] }, { text: "refused" }).text).toBe("refused");
});
