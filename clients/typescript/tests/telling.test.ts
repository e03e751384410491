import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Legato, type Follower, type Frame, type LegatoOptions, type ReasonCode } from "../src/index";
import { Browser, SESSION, snapshot, token, wired, Wire } from "./fakes";
import { answerOf } from "./watching";

const NAME = `legato http://legato.test/v1/sessions/${SESSION}/events`;
const LIVE = { connection: "live" };

interface Word {
  kind: string;
  count?: number;
  frame?: Frame;
  whole?: Frame | null;
  stands?: { connection: string };
}

/** Another tab, which says what a test wants: one that reads, where it has the lock. */
class Tab {
  readonly heard: Word[] = [];
  readonly #channel = new BroadcastChannel(NAME);
  #release: () => void = () => undefined;
  count = 0;

  constructor(readonly by = "another") {
    this.#channel.onmessage = ({ data }: MessageEvent<Word>) => this.heard.push(data);
  }
  async reads(steal = false): Promise<this> {
    await new Promise<void>((got) => {
      const held = (): Promise<void> => {
        got();
        return new Promise((resolve) => (this.#release = resolve));
      };
      navigator.locks.request(NAME, { steal }, held).catch(() => undefined); // taken from it
    });
    return this;
  }
  say(word: object): void {
    this.#channel.postMessage(word);
  }
  tell(more: object): void {
    this.say({ kind: "told", by: this.by, count: this.count, ...more });
  }
  frame(frame: Frame): void {
    this.count += 1;
    this.tell({ frame });
  }
  asked(kind = "ask"): number {
    return this.heard.filter((word) => word.kind === kind).length;
  }
  leave(): void {
    this.#channel.close();
    this.#release();
  }
}

let browser: Browser;
let wire: Wire;
let reports: ReasonCode[];
const closing: (() => void)[] = [];

beforeEach(() => {
  browser = new Browser();
  wire = new Wire();
  reports = [];
});
afterEach(async () => {
  for (const close of closing.splice(0)) close();
  vi.unstubAllGlobals();
  await vi.waitFor(async () => expect((await navigator.locks.query()).held).toEqual([]));
});

function follow(options: LegatoOptions = {}): Follower {
  const given = { baseUrl: "http://legato.test", fetch: wire.fetch, shared: true, ...options };
  const follower = new Legato({ ...given, onReport: (code) => reports.push(code) }).follow(SESSION);
  closing.push(() => {
    follower.close();
  });
  return follower;
}
async function reader(by?: string): Promise<Tab> {
  const tab = await new Tab(by).reads();
  closing.push(() => {
    tab.leave();
  });
  return tab;
}
function listener(): Tab {
  const tab = new Tab();
  closing.push(() => {
    tab.leave();
  });
  return tab;
}
const said = (follower: Follower): string => (follower.state.state ? answerOf(follower.state.state) : "");
const says = (follower: Follower, text: string): Promise<void> => vi.waitFor(() => expect(said(follower)).toBe(text), 5000);
const asked = (tab: Tab, times: number): Promise<void> => vi.waitFor(() => expect(tab.asked()).toBe(times), 5000);

/** A follower that another tab reads to, up to "One" at `a.1`. */
async function followTold(options: LegatoOptions = {}): Promise<[Follower, Tab]> {
  const tab = await reader();
  const follower = follow(options);
  await asked(tab, 1);
  tab.tell({ whole: snapshot("a.1", "One"), stands: LIVE });
  await says(follower, "One");
  return [follower, tab];
}

test("who comes later is told the whole and what follows, and opens no stream", async () => {
  const [follower, tab] = await followTold();
  tab.frame(token("a.2", ", two"));
  await says(follower, "One, two");
  expect([follower.state.connection, tab.asked(), wire.asked.length]).toEqual(["live", 1, 0]);
});

test("who comes while nothing was read yet takes the first frame", async () => {
  const tab = await reader();
  const follower = follow();
  await asked(tab, 1);
  tab.tell({ whole: null, stands: { connection: "connecting" } });
  tab.tell({ stands: LIVE });
  tab.frame(snapshot("a.1", "One"));
  await says(follower, "One");
  expect([follower.state.connection, tab.asked()]).toEqual(["live", 1]);
});

test("who comes in the middle takes nothing before it has the whole", async () => {
  const tab = await reader();
  const follower = follow();
  tab.count = 6;
  tab.frame(token("a.8", " eight"));
  tab.frame(token("a.9", " nine"));
  await asked(tab, 1);
  tab.tell({ whole: snapshot("a.9", "One to nine"), stands: LIVE });
  tab.frame(token("a.10", ", ten"));
  await says(follower, "One to nine, ten");
  expect(tab.asked()).toBe(1);
});

test("who missed a frame asks for the whole, and takes nothing until then", async () => {
  const [follower, tab] = await followTold();
  const told: string[] = [];
  follower.onEvent(() => told.push(follower.cursor ?? ""));
  tab.count += 1; // its frame was lost
  tab.frame(token("a.3", ", three"));
  await asked(tab, 2);
  tab.frame(token("a.4", ", four"));
  tab.tell({ whole: snapshot("a.4", "One, two, three, four"), stands: LIVE });
  tab.frame(token("a.5", ", five"));
  await says(follower, "One, two, three, four, five");
  expect(told).toEqual(["a.4", "a.5"]);
});

test("the next one that reads knows less: nobody is set back, and nothing is told twice", async () => {
  const [follower, tab] = await followTold();
  tab.frame(token("a.2", ", two"));
  tab.frame(token("a.3", ", three"));
  await says(follower, "One, two, three");
  const told: string[] = [];
  follower.onEvent(() => told.push(follower.cursor ?? ""));
  const next = new Tab("the next");
  closing.push(() => {
    next.leave();
  });
  next.tell({ whole: snapshot("a.2", "One, two"), stands: LIVE });
  next.frame(token("a.3", ", three"));
  next.frame(token("a.4", ", four"));
  await says(follower, "One, two, three, four");
  expect(told).toEqual(["a.4"]);
});

test("the next one knows more: what the one before says late counts no more", async () => {
  const [follower, tab] = await followTold();
  const next = new Tab("the next");
  closing.push(() => {
    next.leave();
  });
  next.tell({ whole: snapshot("a.3", "One, two, three"), stands: LIVE });
  await says(follower, "One, two, three");
  tab.frame(token("a.2", ", two"));
  tab.frame(token("a.3", ", three"));
  next.frame(token("a.4", ", four"));
  await says(follower, "One, two, three, four");
});

test("a server that lost its newest events is followed back, also by who was closed meanwhile", async () => {
  const [follower, tab] = await followTold();
  tab.frame(token("a.9", " and what was lost"));
  await says(follower, "One and what was lost");
  tab.frame(snapshot("a.1", "One"));
  await says(follower, "One");
  tab.frame(token("a.9", " and what was lost"));
  await says(follower, "One and what was lost");
  follower.close();
  follower.open();
  await asked(tab, 2);
  tab.tell({ whole: snapshot("a.1", "One"), stands: LIVE });
  await says(follower, "One");
  tab.frame(token("a.2", ", two"));
  await says(follower, "One, two");
});

test("another incarnation without a snapshot is not taken: the whole is asked for", async () => {
  const [follower, tab] = await followTold();
  tab.frame(token("b.2", "?"));
  tab.frame(token("b.3", "?"));
  await asked(tab, 2);
  tab.tell({ whole: snapshot("b.3", "Restored"), stands: LIVE });
  await says(follower, "Restored");
});

test("a heartbeat of the reader's is a sign of life; who hears none asks, and then reads by itself", async () => {
  let now = 0;
  const [follower, tab] = await followTold({ silenceMs: 1500, now: () => now });
  const ticks = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 400));
  for (let times = 0; times < 3; times++) {
    now += 600;
    tab.tell({}); // a heartbeat
    await ticks();
  }
  expect(tab.asked()).toBe(1);
  now += 1000;
  await asked(tab, 2);
  await vi.waitFor(() => expect(wire.asked).toHaveLength(1), 5000);
  expect(wire.last.url).toContain("after=a.1");
  await wire.last.accept().say(wired(token("a.2", ", two")));
  await says(follower, "One, two");
  const told = tab.heard.filter((word) => word.kind === "told");
  expect(told[0]?.whole?.id).toBe("a.1"); // it begins with the whole, for all the others
});

test("who reads tells heartbeats, and answers who asks with the whole; a silent connection it leaves then", async () => {
  let now = 0;
  const follower = follow({ now: () => now });
  await vi.waitFor(() => expect(wire.asked).toHaveLength(1));
  await wire.last.accept().say(wired(snapshot("a.1", "One")));
  await says(follower, "One");
  const tab = listener();
  await wire.last.say(":keep-alive\n\n");
  await vi.waitFor(() => expect(tab.heard).toEqual([expect.objectContaining({ kind: "told", count: 1 })]));
  tab.say({ kind: "ask" });
  await vi.waitFor(() => expect(tab.heard).toHaveLength(2));
  expect(tab.heard[1]).toMatchObject({ count: 1, stands: { connection: "live" }, whole: { id: "a.1", event: "snapshot" } });
  now += 41_000;
  tab.say({ kind: "ask" });
  await vi.waitFor(() => expect(wire.asked[0]?.signal.aborted).toBe(true));
});

test("a page that is seen, or came out of the browser's cache, hurries who reads and asks", async () => {
  let now = 0;
  const [follower, tab] = await followTold({ now: () => now });
  browser.see("hidden");
  expect(tab.asked("hurry")).toBe(0);
  browser.see("visible");
  await vi.waitFor(() => expect(tab.asked("hurry")).toBe(1));
  expect(tab.asked()).toBe(1);
  now += 30_000; // a sleep
  browser.see("visible");
  await asked(tab, 2);
  tab.tell({ whole: snapshot("a.1", "One"), stands: { connection: "lost" } });
  await vi.waitFor(() => expect(follower.state.connection).toBe("lost"));
  await vi.waitFor(() => expect(tab.asked("hurry")).toBe(2));
  browser.restoreFromCache();
  await asked(tab, 3);
});

test("a refusal is for all; who is opened again goes on", async () => {
  const [follower, tab] = await followTold();
  const error = { code: "unauthenticated", status: 401, detail: "Who are you?", fields: {} };
  tab.tell({ stands: { connection: "closed", error } });
  await vi.waitFor(() => expect(follower.state.connection).toBe("closed"));
  expect([follower.state.error?.code, reports]).toEqual(["unauthenticated", ["client.stream.reader-error"]]);
  tab.leave();
  follower.open();
  await vi.waitFor(() => expect(wire.asked).toHaveLength(1));
  await wire.last.accept().say(wired(token("a.2", ", two")));
  await says(follower, "One, two");
});

test("who has lost the lock reads no more, is told, and goes on from there when the lock is free", async () => {
  const follower = follow();
  await vi.waitFor(() => expect(wire.asked).toHaveLength(1));
  await wire.last.accept().say(wired(snapshot("a.1", "One")));
  await says(follower, "One");
  const thief = await new Tab("thief").reads(true);
  await vi.waitFor(() => expect(wire.last.signal.aborted).toBe(true));
  thief.tell({ whole: snapshot("a.2", "One, two"), stands: LIVE });
  await says(follower, "One, two");
  thief.leave();
  await vi.waitFor(() => expect(wire.asked).toHaveLength(2));
  expect(wire.last.url).toContain("after=a.2");
});

test("closed and opened again at once, a tab that reads reads on over one stream", async () => {
  const follower = follow();
  await vi.waitFor(() => expect(wire.asked).toHaveLength(1));
  await wire.last.accept().say(wired(snapshot("a.1", "One")));
  await says(follower, "One");
  follower.close("client.stream.view-remount");
  follower.open();
  follower.close("client.stream.view-remount");
  follower.open();
  await vi.waitFor(() => expect(wire.asked).toHaveLength(2), 5000);
  await wire.last.accept().say(wired(token("a.2", ", two")));
  await says(follower, "One, two");
  expect([wire.asked.length, wire.open, reports]).toEqual([2, 1, ["client.stream.view-remount", "client.stream.view-remount"]]);
});

test("where the browser refuses its locks, the tab reads for itself", async () => {
  vi.spyOn(navigator.locks, "request").mockRejectedValue(new DOMException("no storage", "SecurityError"));
  const follower = follow();
  await vi.waitFor(() => expect(wire.asked).toHaveLength(1));
  await wire.last.accept().say(wired(snapshot("a.1", "One")));
  await says(follower, "One");
  follower.close();
  expect(wire.open).toBe(0);
  vi.restoreAllMocks();
});
