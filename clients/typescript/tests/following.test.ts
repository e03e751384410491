import { afterAll, beforeAll, expect, test } from "vitest";
import { Legato, LegatoError, type ReasonCode } from "../src/index";
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
