import { expect, test } from "vitest";
import { Fold } from "./fold";

const session = { id: "ses_1", agent_id: "a", agent_name: "A", created_at: "", last_activity: "" };
const question = { id: "msg_q", session_id: "ses_1", turn_id: "trn_1", role: "user", status: "completed", created_at: "", parts: [{ type: "text", text: "?" }] };
const answer = { ...question, id: "msg_a", role: "assistant", status: "in_progress", parent_id: "msg_q", parts: [] };
const turn = { id: "trn_1", session_id: "ses_1", message_id: "msg_q", answer_id: "msg_a", status: "in_progress" };

function begun(): Fold {
  const fold = new Fold();
  fold.apply("session", { session });
  fold.apply("message", { op: "added", message_id: "msg_q", message: question });
  fold.apply("turn", { turn });
  fold.apply("message", { op: "added", message_id: "msg_a", message: answer });
  return fold;
}

test("tokens grow the answer, and only the answer becomes another object", () => {
  const fold = begun();
  const before = fold.snapshot();
  fold.apply("token", { turn_id: "trn_1", message_id: "msg_a", part: 1, kind: "text", text: "Bon" });
  fold.apply("token", { turn_id: "trn_1", message_id: "msg_a", part: 1, kind: "text", text: "jour" });
  const after = fold.snapshot();
  expect(after?.messages[1]?.parts).toEqual([{ type: "text", text: "" }, { type: "text", text: "Bonjour" }]);
  expect(after?.messages[0]).toBe(before?.messages[0]);
  expect(before?.messages[1]?.parts).toEqual([]);
});

test("done ends the turn, its answer and its approvals", () => {
  const fold = begun();
  fold.apply("approval", { turn_id: "trn_1", approval: { id: "apr_1", turn_id: "trn_1", status: "pending" } });
  expect(fold.snapshot()?.approvals).toHaveLength(1);
  fold.apply("done", { turn_id: "trn_1", status: "incomplete", reason: "worker_lost", finished_at: "" });
  const state = fold.snapshot();
  expect(state?.messages[1]?.status).toBe("incomplete");
  expect(state?.turns.map((each) => each.status)).toEqual(["incomplete"]);
  expect(state?.approvals).toEqual([]);
});

test("what waits stands apart, in the order of rank", () => {
  const fold = begun();
  for (const rank of [2, 1]) {
    fold.apply("message", { op: "added", message_id: `msg_${rank}`, message: { ...question, id: `msg_${rank}`, status: "queued" } });
    fold.apply("turn", { turn: { ...turn, id: `trn_w${rank}`, message_id: `msg_${rank}`, answer_id: null, status: "queued", rank } });
  }
  expect(fold.snapshot()?.waiting.map((message) => message.id)).toEqual(["msg_1", "msg_2"]);
  expect(fold.snapshot()?.messages).toHaveLength(2);
});
