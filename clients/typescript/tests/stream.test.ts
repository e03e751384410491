import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Legato, type Follower, type LegatoOptions, type ReasonCode } from "../src/index";
import { Browser, SESSION, settle, snapshot, token, wired, Wire } from "./fakes";
import { answerOf } from "./watching";

let browser: Browser;
let wire: Wire;
let reports: [ReasonCode, string][];

beforeEach(() => {
  vi.useFakeTimers();
  browser = new Browser();
  wire = new Wire();
  reports = [];
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const follow = (options: LegatoOptions = {}): Follower => {
  const given = { baseUrl: "http://legato.test", fetch: wire.fetch, random: () => 0, shared: false, ...options };
  return new Legato({ ...given, onReport: (code, detail) => reports.push([code, detail]) }).follow(SESSION);
};
const said = (follower: Follower): string => (follower.state.state ? answerOf(follower.state.state) : "");

async function followLive(): Promise<Follower> {
  const follower = follow();
  await wire.last.accept().say(wired(snapshot("a.1", "One")));
  return follower;
}

test("a connection that is silent for longer than two heartbeats is left for another; one with a heartbeat is not", async () => {
  const follower = await followLive();
  await settle(30_000);
  await wire.last.say(":keep-alive\n\n");
  await settle(38_000);
  expect([wire.asked.length, wire.last.signal.aborted, follower.state.connection]).toEqual([1, false, "live"]);
  await settle(10_000);
  expect(wire.asked.map((each) => each.signal.aborted)).toEqual([true, false]);
  expect(wire.last.url).toContain("after=a.1");
  expect(reports).toEqual([["client.stream.reader-error", expect.stringContaining("nothing came for 40000 ms")]]);
  await wire.last.accept().say(wired(token("a.2", ", two")));
  expect([said(follower), follower.state.connection]).toEqual(["One, two", "live"]);
  follower.close();
});

test("a connection that never answers is left, too", async () => {
  const follower = follow();
  await settle(50_000);
  expect(wire.asked.map((each) => each.signal.aborted)).toEqual([true, false]);
  follower.close();
});

test("an end that looks orderly is a cut: it goes on from its cursor", async () => {
  const follower = await followLive();
  wire.last.end();
  await settle();
  expect([follower.state.connection, follower.state.error?.code]).toEqual(["lost", "unreachable"]);
  expect(follower.state.retryAt).toBe(Date.now() + 500);
  await settle(500);
  expect(wire.last.url).toContain("after=a.1");
  follower.close();
});

test("a frame that is cut off is not taken, and comes again whole", async () => {
  const follower = await followLive();
  await wire.last.say(wired(token("a.2", " half")).slice(0, -1));
  wire.last.end();
  await settle(500);
  expect(said(follower)).toBe("One");
  await wire.last.accept().say(wired(token("a.2", ", two")));
  expect(said(follower)).toBe("One, two");
  follower.close();
});

test("what was seen before is not told again", async () => {
  const follower = await followLive();
  const told: string[] = [];
  follower.onEvent((event) => told.push(event.type));
  for (const frame of [token("a.2", ", two"), token("a.2", ", two"), snapshot("a.2", "no")]) await wire.last.say(wired(frame));
  expect([said(follower), told]).toEqual(["One, two", ["token"]]);
  follower.close();
});

test("each try waits for longer than the one before, stretched at random; a word of the server's begins anew", async () => {
  const random = vi.fn<() => number>().mockReturnValueOnce(0).mockReturnValueOnce(0.5).mockReturnValueOnce(1).mockReturnValue(0);
  const follower = follow({ random });
  const waits: number[] = [];
  const lose = async (): Promise<void> => {
    wire.last.fail();
    await settle();
    waits.push((follower.state.retryAt ?? 0) - Date.now());
    await settle(waits.at(-1));
  };
  for (let times = 0; times < 8; times++) await lose();
  expect(waits).toEqual([500, 1250, 3000, 4000, 8000, 15_000, 15_000, 15_000]);
  await wire.last.accept().say("retry: 2000\n\n:keep-alive\n\n");
  wire.last.end();
  await settle();
  expect(follower.state.retryAt).toBe(Date.now() + 2000);
  follower.close();
});

test("Retry-After is kept to", async () => {
  const follower = follow();
  wire.last.refuse(503, "busy", { "Retry-After": "20" });
  await settle();
  expect([follower.state.connection, follower.state.error?.code, follower.state.retryAt]).toEqual(["lost", "busy", Date.now() + 20_000]);
  follower.close();
});

test("the network is back: the old connection is replaced at once, and no wait is sat out", async () => {
  const follower = await followLive();
  browser.online();
  await settle();
  expect(wire.asked.map((each) => each.signal.aborted)).toEqual([true, false]);
  wire.last.fail();
  await settle();
  browser.online();
  await settle();
  expect(wire.asked).toHaveLength(3);
  follower.close();
});

test("the page is seen again: no wait is sat out, a sleep's connection is replaced, a lively one kept", async () => {
  const follower = await followLive();
  browser.see("hidden");
  browser.see("visible");
  await settle();
  expect(wire.asked).toHaveLength(1);
  vi.setSystemTime(Date.now() + 30_000); // a sleep: no timer runs
  browser.see("visible");
  await settle();
  expect(wire.asked.map((each) => each.signal.aborted)).toEqual([true, false]);
  wire.last.fail();
  await settle();
  expect(follower.state.connection).toBe("lost");
  browser.see("visible");
  await settle();
  expect(wire.asked).toHaveLength(3);
  follower.close();
});

test("who is offline is told so", async () => {
  vi.stubGlobal("navigator", { onLine: false });
  const follower = follow();
  wire.last.fail();
  await settle();
  expect(follower.state.connection).toBe("offline");
  follower.close();
});

test("closed and opened again it goes on from where it was, over one connection", async () => {
  const follower = await followLive();
  follower.close("client.stream.view-remount");
  expect([follower.state.connection, wire.open]).toEqual(["closed", 0]);
  follower.open();
  follower.open();
  await settle(1000);
  expect([wire.asked.length, wire.open]).toEqual([2, 1]);
  expect(wire.last.url).toContain("after=a.1");
  await wire.last.accept().say(wired(token("a.2", ", two")));
  expect([said(follower), follower.state.connection]).toEqual(["One, two", "live"]);
  follower.close();
  follower.close();
  expect(reports).toEqual(["client.stream.view-remount", "client.stream.user-abort"].map((code) => [code, `v1/sessions/${SESSION}/events`]));
});

test("closed while it waits, it stays closed", async () => {
  const follower = follow();
  wire.last.fail();
  await settle();
  follower.close();
  await settle(60_000);
  expect([wire.asked.length, follower.state.connection]).toEqual([1, "closed"]);
});

test("what the server refuses is not tried again, until it is opened again", async () => {
  const follower = follow();
  wire.last.refuse(401, "unauthenticated");
  await settle(60_000);
  expect([wire.asked.length, follower.state.connection, follower.state.error?.code]).toEqual([1, "closed", "unauthenticated"]);
  expect(reports.map(([code]) => code)).toEqual(["client.stream.reader-error"]);
  follower.open();
  await wire.last.accept().say(wired(snapshot("a.1", "One")));
  expect([said(follower), follower.state.connection, follower.state.error]).toEqual(["One", "live", undefined]);
  follower.close();
});

test.each([404, 200])("what a proxy says (%i) is a cut and nothing of Legato's", async (status) => {
  const follower = follow();
  wire.last.interpose(status);
  await settle();
  expect(follower.state.connection).toBe("lost");
  await settle(2_000);
  expect(wire.asked.length).toBe(2);
  await wire.last.accept().say(wired(snapshot("a.1", "One")));
  expect([said(follower), follower.state.connection]).toEqual(["One", "live"]);
  follower.close();
});

test("listeners hear of many events once; who looks earlier sees what is there, and the same picture again", async () => {
  const follower = await followLive();
  const heard = vi.fn(() => follower.state);
  follower.subscribe(heard);
  const seen: string[] = [];
  follower.onEvent(() => seen.push(said(follower)));
  await wire.last.say(wired(token("a.2", ", two")) + wired(token("a.3", ", three")));
  expect(seen).toEqual(["One, two", "One, two, three"]);
  expect(heard).toHaveBeenCalledTimes(1);
  expect(follower.state).toBe(heard.mock.results[0]?.value);
  follower.close();
});
