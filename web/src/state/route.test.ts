import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { hash: "" });
vi.stubGlobal("addEventListener", () => undefined);
const { routeOf } = await import("./route");

test("an address names a conversation, a message of it, a page, or a new conversation", () => {
  expect(routeOf("#ses_1")).toEqual({ page: "chat", sessionId: "ses_1", messageId: null });
  expect(routeOf("#ses_1/msg_2")).toEqual({ page: "chat", sessionId: "ses_1", messageId: "msg_2" });
  expect(routeOf("#memory")).toEqual({ page: "memory" });
  for (const other of ["", "#", "#constructor", "#ses_1/../x", "#<script>"]) {
    expect(routeOf(other)).toEqual({ page: "chat", sessionId: null, messageId: null });
  }
});
