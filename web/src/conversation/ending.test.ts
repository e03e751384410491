import { expect, test, vi } from "vitest";

vi.stubGlobal("localStorage", { getItem: () => null });
vi.stubGlobal("navigator", { languages: ["en"] });
vi.stubGlobal("addEventListener", () => undefined);
vi.stubGlobal("document", { documentElement: { lang: "" } });
const { isWord } = await import("../i18n");
const { ending } = await import("./ending");

/** Those of `done` in docs/protocol.md. */
const REASONS = [
  "length", "content_filter", "max_steps", "interrupted", "rolled_back", "cleared", "deleted", "withdrawn", "worker_lost", "shutdown",
  "store_unavailable", "corrupted", "session_quarantined", "degraded", "error", "agent_unavailable",
];
const say = (key: string): string => key;
const turn = { id: "t", session_id: "s", message_id: "m", agent_id: "a", status: "incomplete", created_at: "" } as const;

test("every reason that the protocol knows has a word", () => {
  expect(REASONS.filter((reason) => !isWord(`reason_${reason}`))).toEqual([]);
});

test("an answer that ended as it should says nothing", () => {
  expect(ending({ status: "completed" }, { ...turn, reason: "stop" }, say)).toBeNull();
});

test("what ended early says how and why, and the server's own words come first", () => {
  expect(ending({ status: "incomplete" }, { ...turn, reason: "length" }, say)).toEqual({ text: "incomplete: reason_length", bad: false });
  expect(ending({ status: "failed", error: { code: "error", message: "No key" } }, undefined, say)).toEqual({ text: "failed: No key", bad: true });
  expect(ending({ status: "cancelled" }, { ...turn, reason: "cancelled" }, say)).toEqual({ text: "cancelled", bad: false });
});
