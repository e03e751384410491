import type { Diagnostics, Ends, Latency, UsageReport } from "legato-client";

const MINUTE_S = 60;
const DAY_S = 86_400;

/** What a chart draws: values by time (seconds since 1970), null where there is none. */
export interface Lines {
  times: readonly number[];
  values: readonly (readonly (number | null)[])[];
}

const seconds = (at: string): number => Date.parse(at) / 1000;

export function openLines({ open }: Diagnostics): Lines {
  return {
    times: open.map(({ at }) => seconds(at)),
    values: [open.map((each) => each.sessions), open.map((each) => each.lists), open.map((each) => each.turns)],
  };
}

/** The half and nearly all, over the minutes of the hour. */
export function latencyLines({ minutes }: Latency, { open }: Diagnostics): Lines {
  const known = new Map(minutes.map(({ at, spread }) => [seconds(at), spread]));
  const times = open.map(({ at }) => seconds(at));
  return { times, values: [times.map((at) => known.get(at)?.p50_s ?? null), times.map((at) => known.get(at)?.p95_s ?? null)] };
}

/** How often each code came, over the minutes of the hour. */
export function endLines({ minutes }: Ends, codes: readonly string[], { open }: Diagnostics): Lines {
  const known = new Map(minutes.map(({ at, counts }) => [seconds(at), counts]));
  const times = open.map(({ at }) => seconds(at));
  return { times, values: codes.map((code) => times.map((at) => known.get(at)?.[code] ?? 0)) };
}

/** Every day from the first to the last, also those that cost nothing. */
export function costLines({ from, to, data }: UsageReport): Lines {
  const known = new Map(data.map(({ day, cost_usd: cost }) => [day, cost]));
  const times: number[] = [];
  for (let at = seconds(from); at <= seconds(to); at += DAY_S) times.push(at);
  return { times, values: [times.map((at) => known.get(new Date(at * 1000).toISOString().slice(0, 10)) ?? 0)] };
}

/** Each line on top of those before it; the highest first, so that the lower ones are drawn over it. */
export function stacked(values: Lines["values"]): number[][] {
  const sums: number[][] = [];
  for (const line of values) {
    const below = sums.at(-1);
    sums.push(line.map((value, at) => (value ?? 0) + (below?.[at] ?? 0)));
  }
  return sums.reverse();
}

export const isEmpty = ({ values }: Lines): boolean => values.every((line) => line.every((value) => !value));
export const stepOf = ({ times }: Lines): number => (times.length > 1 ? (times[1] ?? 0) - (times[0] ?? 0) : MINUTE_S);
