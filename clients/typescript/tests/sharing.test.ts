import { afterAll, beforeAll, expect, test } from "vitest";
import { Legato, type Follower } from "../src/index";
import { Server } from "./server";
import { answerOf, bare, ended, until } from "./watching";

const server = new Server();
beforeAll(() => server.start());
afterAll(() => server.remove());

/** A tab of a browser: `streams` are those that it has opened. */
function openTab(silenceMs = 40_000): { legato: Legato; streams: string[] } {
  const streams: string[] = [];
  const counting: typeof fetch = (input, init) => {
    if (new Headers(init?.headers).get("Accept") === "text/event-stream") streams.push(String(input));
    return fetch(input, init);
  };
  return { legato: new Legato({ baseUrl: server.url, shared: true, fetch: counting, silenceMs }), streams };
}
const lockOf = (follower: Follower): string => `legato ${server.url}/v1/sessions/${follower.sessionId}/events`;

/** The ids of all that a follower is told; none may come twice. */
function idsOf(follower: Follower): string[] {
  const ids: string[] = [];
  follower.onEvent(() => ids.push(follower.cursor ?? ""));
  return ids;
}

test("tabs read one stream, and a later one has what was said before", async () => {
  const [one, two, late] = [openTab(), openTab(), openTab()];
  const session = await one.legato.createSession();
  const first = one.legato.follow(session.id);
  const second = two.legato.follow(session.id);
  const { turn } = await two.legato.send(session.id, "Tell me a long story");
  await until(second, (state) => answerOf(state).length > 40);
  const third = late.legato.follow(session.id);
  const states = await Promise.all([first, second, third].map((each) => until(each, ended(turn.id))));
  const told = bare((await one.legato.view(session.id)).state);
  expect(states.map(bare)).toEqual([told, told, told]);
  expect(third.state.connection).toBe("live");
  expect([one.streams, two.streams, late.streams].map((each) => each.length)).toEqual([1, 0, 0]);
  for (const each of [first, second, third]) each.close();
});

test("the tab that reads is closed in mid-answer: the next one goes on where it was", async () => {
  const [one, two] = [openTab(), openTab()];
  const session = await one.legato.createSession();
  const first = one.legato.follow(session.id);
  const second = two.legato.follow(session.id);
  const ids = idsOf(second);
  const { turn } = await one.legato.send(session.id, "Tell me a long story");
  await until(second, (state) => answerOf(state).length > 40);
  first.close();
  const state = await until(second, ended(turn.id));
  expect(bare(state)).toEqual(bare((await two.legato.view(session.id)).state));
  expect([one.streams.length, two.streams.length]).toEqual([1, 1]);
  expect(two.streams[0]).toContain("after="); // not from the beginning
  expect(new Set(ids).size).toBe(ids.length);
  second.close();
});

test("the server is killed under two tabs: both end with the same words, each once", async () => {
  const [one, two] = [openTab(), openTab()];
  const session = await one.legato.createSession();
  const first = one.legato.follow(session.id);
  const second = two.legato.follow(session.id);
  const told = [idsOf(first), idsOf(second)];
  const { turn } = await one.legato.send(session.id, "Tell me a long story");
  await until(second, (state) => answerOf(state).length > 40);
  await server.kill();
  await server.start();
  const states = await Promise.all([first, second].map((each) => until(each, ended(turn.id))));
  const view = bare((await two.legato.view(session.id)).state);
  expect(states.map(bare)).toEqual([view, view]);
  for (const ids of told) expect(new Set(ids).size).toBe(ids.length);
  expect(two.streams).toEqual([]);
  first.close();
  second.close();
});

test("a tab that is frozen while it reads is replaced", async () => {
  const tab = openTab(500);
  const session = await tab.legato.createSession();
  const follower = tab.legato.follow(session.id);
  await until(follower, () => follower.state.connection === "live");
  follower.close();
  const frozen = navigator.locks.request(lockOf(follower), { steal: true }, () => new Promise(() => undefined)).catch((error: unknown) => error);
  const again = tab.legato.follow(session.id);
  const { turn } = await tab.legato.send(session.id, "Hello");
  await until(again, ended(turn.id));
  expect(await frozen).toBeInstanceOf(DOMException); // its lock was taken
  expect(tab.streams).toHaveLength(2);
  again.close();
});

test("who has lost the lock takes it again when it is free, and has missed nothing", async () => {
  const tab = openTab();
  const session = await tab.legato.createSession();
  const follower = tab.legato.follow(session.id);
  const ids = idsOf(follower);
  const { turn } = await tab.legato.send(session.id, "Tell me a long story");
  await until(follower, (state) => answerOf(state).length > 40);
  await navigator.locks.request(lockOf(follower), { steal: true }, () => undefined);
  const state = await until(follower, ended(turn.id));
  expect(bare(state)).toEqual(bare((await tab.legato.view(session.id)).state));
  expect(tab.streams).toHaveLength(2);
  expect(new Set(ids).size).toBe(ids.length);
  follower.close();
});

test("what the server refuses, it refuses all tabs", async () => {
  const tabs = [openTab(), openTab()];
  const followers = tabs.map((tab) => tab.legato.follow("ses_00000000000000000000000000"));
  await Promise.all(
    followers.map(
      (each) =>
        new Promise<void>((resolve) => {
          const look = (): void => {
            if (each.state.connection === "gone") resolve();
          };
          each.subscribe(look);
          look();
        }),
    ),
  );
  expect(followers.map((each) => each.state.error?.code)).toEqual(["session_not_found", "session_not_found"]);
});

test("the list of sessions is read once for all tabs, too", async () => {
  const [one, two] = [openTab(), openTab()];
  const lists = [one.legato.live(), two.legato.live()];
  const heard = lists.map(() => new Set<string>());
  lists.forEach((list, at) => list.subscribe((hint) => heard[at]?.add(hint.session_id ?? hint.what)));
  await expect.poll(() => heard.map((each) => each.has("refetch"))).toEqual([true, true]);
  const session = await one.legato.createSession();
  await expect.poll(() => heard.map((each) => each.has(session.id))).toEqual([true, true]);
  expect([one.streams.length, two.streams.length]).toEqual([1, 0]);
  for (const list of lists) list.close();
});
