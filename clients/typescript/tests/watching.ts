import { isTerminal, type Follower, type State } from "../src/index";

/** Resolves when the follower's state is as wanted; hangs tests only into their time-out. */
export function until(follower: Follower, wanted: (state: State) => boolean): Promise<State> {
  return new Promise((resolve) => {
    const look = (): void => {
      const { state } = follower.state;
      if (state && wanted(state)) {
        stop();
        resolve(state);
      }
    };
    const stop = follower.subscribe(look);
    look();
  });
}
export const ended = (turnId: string) => (state: State): boolean => state.turns.some((turn) => turn.id === turnId && isTerminal(turn.status));

export const answerOf = (state: State): string => {
  const parts = state.messages.findLast((message) => message.role === "assistant")?.parts ?? [];
  return parts.map((part) => (part.type === "text" ? part.text : "")).join("");
};

const DEFAULTS: Record<string, unknown> = { kind: "send", mode: "queue", priority: "interactive", message_type: "message" };
/** Without what may be left out as it is the default. */
export function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare);
  if (typeof value !== "object" || value === null) return value;
  const left = Object.entries(value).filter(([name, each]) => {
    const empty = each == null || each === false || each === 0 || (Array.isArray(each) && each.length === 0);
    return !empty && each !== DEFAULTS[name];
  });
  return Object.fromEntries(left.map(([name, each]) => [name, bare(each)]));
}
