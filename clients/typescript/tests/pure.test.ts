import { expect, test } from "vitest";
import { Backoff, SseParser } from "../src/index";
import { Position } from "../src/position";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const STREAM = "\uFEFFretry: 20\r\n\r\n:keep-alive\n\nid: a.1\nevent: token\r\ndata: {\"é\":\r\ndata: \"🎻\"}\r\rid: a.2\ndata: cut off";

test("however a stream is torn, the same frames come out", () => {
  const all = bytes(STREAM);
  for (let cut = 0; cut <= all.length; cut++) {
    const parser = new SseParser();
    const frames = [...parser.feed(all.slice(0, cut)), ...parser.feed(all.slice(cut))];
    expect(frames).toEqual([{ event: "token", data: "{\"é\":\n\"🎻\"}", id: "a.1" }]);
    expect([parser.retryMs, parser.alive]).toEqual([20, 1]);
  }
  const single = new SseParser();
  expect(Array.from(all, (byte) => single.feed(Uint8Array.of(byte))).flat()).toHaveLength(1);
});

test("delays double up to a limit, are stretched and never shrunk, and keep to Retry-After", () => {
  const backoff = new Backoff(() => 0.5, 4000);
  backoff.beginAt(1000);
  expect([1, 2, 3, 4].map(() => backoff.nextMs())).toEqual([1250, 2500, 5000, 5000]);
  expect(backoff.nextMs(10_000)).toBe(12_500);
  backoff.succeeded();
  backoff.beginAt(0);
  expect(backoff.nextMs()).toBe(62.5);
});

test("a cursor goes forward, and elsewhere only with a snapshot", () => {
  const position = new Position();
  expect(position.advance("a.5", true)).toBe(true);
  expect(position.advance("a.5", false)).toBe(false);
  expect(position.advance("a.10", false)).toBe(true);
  expect(() => position.advance("b.11", false)).toThrow(RangeError);
  expect(position.advance("b.2", true)).toBe(true);
  expect(position.cursor).toBe("b.2");
});
