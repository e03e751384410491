import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { hash: "" });
vi.stubGlobal("addEventListener", () => undefined);
const { routeOf } = await import("./route");

const SESSION = `ses_${"1".repeat(26)}`;
const MESSAGE = `msg_${"2".repeat(26)}`;

test("an address names a conversation, a message of it, a page, or a new conversation", () => {
  expect(routeOf(`#${SESSION}`)).toEqual({ page: "chat", sessionId: SESSION, messageId: null });
  expect(routeOf(`#${SESSION}/${MESSAGE}`)).toEqual({ page: "chat", sessionId: SESSION, messageId: MESSAGE });
  expect(routeOf("#memory")).toEqual({ page: "memory" });
  for (const other of ["", "#", "#constructor", "#ses_1", `#${SESSION}/../x`, "#<script>"]) {
    expect(routeOf(other)).toEqual({ page: "chat", sessionId: null, messageId: null });
  }
});
