import { afterAll, beforeAll, expect, test } from "vitest";
import { Legato, newId } from "../src/index";
import { Server } from "./server";
import { ended, until } from "./watching";

const server = new Server();
let legato: Legato;
beforeAll(async () => {
  await server.start();
  legato = new Legato({ baseUrl: server.url });
});
afterAll(() => server.remove());

/** A client whose first answers are lost on their way, or are `answers`. */
function losing(times: number, answers: Response[] = []): Legato {
  const options = { baseUrl: server.url, random: () => 0 };
  let left = times;
  const fetching: typeof fetch = async (input, init) => {
    const response = answers.shift() ?? (await fetch(input, init));
    if (left-- > 0) throw new TypeError("fetch failed");
    return response;
  };
  return new Legato({ ...options, fetch: fetching });
}

test("a send whose answer was lost is accepted once, and so is a session that is made", async () => {
  const session = await losing(1).createSession({ title: "Once" });
  const { turn } = await losing(2).send(session.id, "/help");
  const follower = legato.follow(session.id);
  const state = await until(follower, ended(turn.id));
  expect(state.messages.map((message) => message.role)).toEqual(["user", "assistant"]);
  expect((await legato.sessions({ text: "Once" })).data.map((each) => each.id)).toEqual([session.id]);
  follower.close();
});

test("a fork may be repeated; the id of another session is refused", async () => {
  const session = await legato.createSession();
  const { turn } = await legato.send(session.id, "/help");
  const follower = legato.follow(session.id);
  await until(follower, ended(turn.id));
  follower.close();
  const id = newId("ses");
  const fork = await losing(1).fork(session.id, { id, title: "Another way" });
  expect([fork.id, fork.title, fork.forked_from?.session_id]).toEqual([id, "Another way", session.id]);
  expect((await legato.fork(session.id, { id })).id).toBe(id);
  expect((await legato.view(id)).state.messages).toHaveLength(2);
  const other = await legato.createSession();
  await expect(legato.fork(session.id, { id: other.id })).rejects.toMatchObject({ code: "session_exists", status: 409 });
  await expect(legato.fork(other.id, { id })).rejects.toMatchObject({ code: "session_exists" });
});

test("a fork that is still being made, or died on the way, is waited for", async () => {
  const session = await legato.createSession();
  const { turn } = await legato.send(session.id, "/help");
  const follower = legato.follow(session.id);
  await until(follower, ended(turn.id));
  follower.close();
  const taken = Response.json({ code: "session_exists", detail: "There is one." }, { status: 409 });
  const fork = await losing(0, [taken]).fork(session.id);
  expect(fork.forked_from?.session_id).toBe(session.id);
});
