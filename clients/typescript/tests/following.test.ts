import { afterAll, beforeAll, expect, test } from "vitest";
import { Legato, LegatoError, type ReasonCode, type State } from "../src/index";
import { Proxy } from "./proxy";
import { Server } from "./server";
import { answerOf, bare, ended, until } from "./watching";

const server = new Server();
const reports: ReasonCode[] = [];
let legato: Legato;

beforeAll(async () => {
  await server.start();
  legato = new Legato({ baseUrl: server.url, onReport: (code) => reports.push(code) });
});
afterAll(() => server.remove());

test("an answer is followed, and what was assembled is what the server has", async () => {
  const session = await legato.createSession();
  const follower = legato.follow(session.id);
  const { turn } = await legato.send(session.id, "Hello");
  const state = await until(follower, ended(turn.id));
  expect(bare(state)).toEqual(bare((await legato.view(session.id)).state));
  expect(state.messages.at(-1)?.parts?.length).toBeGreaterThan(0);
  follower.close();
  expect(reports).toContain("client.stream.done");
  expect(reports.at(-1)).toBe("client.stream.user-abort");
});

test("the server is killed in mid-answer and comes back: nothing lost, nothing doubled, nothing running", async () => {
  const session = await legato.createSession();
  const follower = legato.follow(session.id);
  const cursors: string[] = [];
  follower.onEvent(() => follower.cursor !== null && cursors.push(follower.cursor));
  const { turn } = await legato.send(session.id, "Tell me a long story");
  const cut = await until(follower, (state) => answerOf(state).length > 40);
  expect(cut.turns.find((each) => each.id === turn.id)?.status).toBe("in_progress");
  await server.kill();
  await server.start();
  const state = await until(follower, ended(turn.id));
  expect(bare(state)).toEqual(bare((await legato.view(session.id)).state));
  expect(answerOf(state).startsWith(answerOf(cut))).toBe(true);
  expect(new Set(cursors).size).toBe(cursors.length);
  expect(reports).toContain("client.stream.reader-error");
  follower.close();
});

test("a session that is unknown is gone, and calls say why", async () => {
  const follower = legato.follow("ses_00000000000000000000000000");
  await new Promise<void>((resolve) => {
    follower.subscribe(() => {
      if (follower.state.connection === "gone") resolve();
    });
  });
  expect(follower.state.error?.code).toBe("session_not_found");
  await expect(legato.view("ses_00000000000000000000000000")).rejects.toThrow(LegatoError);
});

test("a session is closed and opened again in mid-answer: what was said meanwhile is there, each word once", async () => {
  const session = await legato.createSession();
  const follower = legato.follow(session.id);
  const { turn } = await legato.send(session.id, "/long 60 40");
  await until(follower, (state) => answerOf(state).includes("w10 ") || answerOf(state).includes("w10\n"));
  follower.close("client.stream.view-remount");
  expect(reports.at(-1)).toBe("client.stream.view-remount");
  await expect.poll(async () => answerOf((await legato.view(session.id)).state)).toContain("w20");
  follower.open();
  const state = await until(follower, ended(turn.id));
  expect(answerOf(state).trim().split(/\s/)).toEqual(Array.from({ length: 60 }, (_, at) => `w${String(at + 1)}`));
  follower.close();
});

test.each(["cut", "silence"] as const)("through a proxy, %s in mid-answer: nothing lost, nothing doubled", async (fault) => {
  const proxy = await Proxy.to(server.url);
  const tries: string[] = [];
  const counting: typeof fetch = (input, init) => {
    tries.push(input as string);
    return fetch(input, init);
  };
  const through = new Legato({ baseUrl: proxy.url, fetch: counting, silenceMs: 3000, onReport: (code) => reports.push(code) });
  const session = await legato.createSession();
  const follower = through.follow(session.id);
  const { turn } = await legato.send(session.id, "/long 60 20");
  const before = await until(follower, (state) => answerOf(state).includes("w5"));
  expect(ended(turn.id)(before)).toBe(false);
  reports.length = 0;
  proxy[fault]();
  const state = await until(follower, ended(turn.id));
  expect(answerOf(state).trim().split(/\s/)).toEqual(Array.from({ length: 60 }, (_, at) => `w${String(at + 1)}`));
  expect(reports).toContain("client.stream.reader-error");
  expect(tries.length).toBeGreaterThan(1);
  expect(tries.slice(1).every((url) => url.includes("after="))).toBe(true);
  follower.close();
  await proxy.remove();
});

test("who cancels, from wherever, stops the answer on every screen and keeps what it said", async () => {
  const session = await legato.createSession();
  const [here, there] = [legato.follow(session.id), legato.follow(session.id)];
  const { turn } = await legato.send(session.id, "/long 2000 20");
  await until(here, (state) => answerOf(state).length > 20);
  await legato.cancel(session.id, turn.id);
  expect((await legato.cancel(session.id, turn.id)).status).toBe("cancelled");
  const states = await Promise.all([here, there].map((each) => until(each, ended(turn.id))));
  const told = bare((await legato.view(session.id)).state);
  expect(states.map(bare)).toEqual([told, told]);
  expect([states[0]?.turns[0]?.reason, states[0]?.messages.at(-1)?.status]).toEqual(["cancelled", "cancelled"]);
  expect(states.every((state) => answerOf(state).length > 20)).toBe(true);
  here.close();
  there.close();
});

test("what an agent asks is shown, is answered once, and the answer goes on", async () => {
  const session = await legato.createSession();
  const follower = legato.follow(session.id);
  const { turn } = await legato.send(session.id, "/approve");
  const asking = await until(follower, (state) => state.approvals.length > 0);
  expect(asking.turns.find((each) => each.id === turn.id)?.phase).toBe("awaiting_approval");
  const [approval] = await legato.approvals();
  expect(approval).toEqual(asking.approvals[0]);
  const id = approval?.id ?? "";
  expect((await legato.decide(id, "allow")).status).toBe("allowed");
  await expect(legato.decide(id, "deny")).rejects.toMatchObject({ code: "already_decided", status: 409 });
  const state = await until(follower, ended(turn.id));
  expect(state.approvals).toEqual([]);
  expect(answerOf(state)).toContain("Sent (imaginarily).");
  follower.close();
});

test("what waits can be changed, put first and withdrawn; each screen follows", async () => {
  const session = await legato.createSession();
  const follower = legato.follow(session.id);
  const { turn: running } = await legato.send(session.id, "/long 2000 20");
  await until(follower, (state) => answerOf(state).length > 0);
  const waiting = await Promise.all(["one", "two", "three"].map(async (text) => (await legato.send(session.id, text)).turn));
  const queued = (await legato.queue(session.id)).map((each) => each.turn.id);
  const [first = "", second = "", third = ""] = queued;
  expect([...queued].sort()).toEqual(waiting.map((turn) => turn.id).sort());
  await legato.amend(session.id, third, { text: "changed", before: first });
  expect((await legato.withdraw(session.id, second)).reason).toBe("withdrawn");
  await expect(legato.withdraw(session.id, running.id)).rejects.toMatchObject({ code: "turn_not_queued" });
  const queue = (state: State): string[] => state.turns.filter((turn) => turn.status === "queued").map((turn) => turn.id);
  const state = await until(follower, (each) => queue(each).join() === [third, first].join());
  const texts = state.messages.filter((message) => message.status === "queued").map((message) => message.parts?.[0]);
  expect(texts[0]).toEqual({ type: "text", text: "changed" });
  await legato.cancel(session.id, running.id);
  const end = await until(follower, ended(first));
  expect(bare(end)).toEqual(bare((await legato.view(session.id)).state));
  follower.close();
});

test("older messages come above those that are there, page by page", async () => {
  const session = await legato.createSession();
  const writer = legato.follow(session.id);
  for (let times = 0; times < 52; times++) {
    const { turn } = await legato.send(session.id, "/help");
    await until(writer, ended(turn.id));
  }
  writer.close();
  const follower = legato.follow(session.id);
  const begun = await until(follower, (state) => state.messages.length > 0);
  expect([begun.messages.length, begun.has_more]).toEqual([100, true]);
  await follower.earlier();
  const { state } = follower.state;
  expect([state?.messages.length, state?.has_more]).toEqual([104, false]);
  const pages = [await legato.messagesPage(session.id, { limit: 50 })];
  while (pages[0]?.next) pages.unshift(await legato.messagesPage(session.id, { limit: 50, cursor: pages[0].next }));
  expect(bare(state?.messages)).toEqual(bare(pages.flatMap((page) => page.data)));
  follower.close();
});
