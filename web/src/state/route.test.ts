import { expect, test, vi } from "vitest";

const browser = { hash: "" };
let tellOfChange = (): void => undefined;
vi.stubGlobal("location", browser);
vi.stubGlobal("addEventListener", (_: string, listener: () => void) => (tellOfChange = listener));
const { goTo, goToPage, route, routeOf } = await import("./route");

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

test("who goes somewhere is there at once, before the browser tells of it", () => {
  const seen: string[] = [];
  route.subscribe(() => seen.push(JSON.stringify(route.read())));
  goTo(SESSION, MESSAGE);
  expect(route.read()).toEqual({ page: "chat", sessionId: SESSION, messageId: MESSAGE });
  goToPage("memory");
  expect(route.read()).toEqual({ page: "memory" });
  tellOfChange(); // of both, late
  tellOfChange();
  expect(seen).toHaveLength(2);
  browser.hash = "#inbox"; // by hand, or with the browser's arrows
  tellOfChange();
  expect(route.read()).toEqual({ page: "inbox" });
});
