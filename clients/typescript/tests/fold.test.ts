import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Fold, type Event, type State } from "../src/index";
import { PYTHON } from "./server";
import { bare } from "./watching";

interface Vector {
  events: Event[];
  state: State;
}
const ROOT = join(import.meta.dirname, "../../..");

test("whatever is told, this fold and the server's come to the same", () => {
  const told = execFileSync(PYTHON, ["-m", "tests.clients.fold_vectors"], { cwd: ROOT, maxBuffer: 1 << 28 });
  const vectors = JSON.parse(told.toString()) as Vector[];
  expect(vectors.length).toBeGreaterThan(300);
  for (const { events, state } of vectors) {
    const fold = new Fold();
    for (const event of events) {
      fold.apply(event);
      fold.state(); // looking changes nothing
    }
    expect(bare(fold.state())).toEqual(bare(state));
  }
});
