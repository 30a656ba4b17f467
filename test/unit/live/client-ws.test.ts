import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type SocketLike, type StatusSubscriptionOptions, subscribeStatus } from "../../../src/client-ws";
import type { StatusFrame } from "../../../src/shared/frames";
import { queueRecord } from "../../../src/shared/queue-record";
import type { EventRecord } from "../../../src/shared/records";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** The other side of a connection. */
class Server implements SocketLike {
  readonly got: string[] = [];
  closed = false;
  readonly #listeners = new Map<string, ((event: { readonly data: unknown }) => void)[]>();

  constructor(
    readonly url: string,
    readonly protocols: readonly string[],
  ) {}

  send(text: string): void {
    this.got.push(text);
  }

  close(): void {
    this.closed = true;
  }

  addEventListener(type: string, listener: (event: { readonly data: unknown }) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  emit(type: string, data: unknown = null): void {
    for (const listener of this.#listeners.get(type) ?? []) listener({ data });
  }

  frame(frame: StatusFrame): void {
    this.emit("message", JSON.stringify(frame));
  }

  snapshot(seq: number, epoch = "e", type: "snapshot" | "reset" = "snapshot"): void {
    this.frame({ type, epoch, seq, services: [], queue: queueRecord([], 0) });
  }

  event(seq: number, epoch = "e", padding = ""): void {
    const event: EventRecord = {
      seq,
      event_type: "QUEUE_PAUSED",
      event_category: "QUEUE",
      service_name: "R2_STORAGE",
      severity: "INFO",
      event_data: { padding },
      created_at: "2026-01-01T00:00:00.000Z",
    };
    this.frame({ type: "event", epoch, seq, event });
  }

  get acks(): number[] {
    return this.got.filter((text) => text !== "ping").map((text) => JSON.parse(text).seq);
  }
}

async function open(options: Partial<StatusSubscriptionOptions> = {}) {
  const servers: Server[] = [];
  const seen: number[] = [];
  const told: string[] = [];
  const subscription = subscribeStatus({
    url: "https://status.example/health/ws",
    random: () => 1,
    onEvent: ({ seq }, since) => {
      seen.push(seq);
      told.push(since);
    },
    connect: (url, protocols) => {
      const server = new Server(url, protocols);
      servers.push(server);
      return server;
    },
    ...options,
  });
  await vi.advanceTimersByTimeAsync(0);
  return { servers, seen, told, subscription, last: () => servers.at(-1) as Server };
}

describe("a subscription", () => {
  test("connects with what it was given, and goes on where it was", async () => {
    const { servers, subscription, last } = await open({ service: "A B", token: () => "secret", since: "e.4" });
    expect(last().url).toBe("wss://status.example/health/ws?service=A+B&since=e.4");
    expect(last().protocols).toEqual(["r2-failover", "bearer.secret"]);
    last().snapshot(4);
    last().event(5);
    last().emit("close");
    await vi.advanceTimersByTimeAsync(250);
    expect(servers).toHaveLength(2);
    expect([last().url, subscription.since]).toEqual(["wss://status.example/health/ws?service=A+B&since=e.5", "e.5"]);
    expect((await open()).last().protocols).toEqual(["r2-failover"]);
  });

  test("hands over each event once, in order, and says where it is", async () => {
    const { seen, told, last } = await open();
    last().snapshot(4);
    for (const seq of [5, 5, 4, 6]) last().event(seq);
    expect([seen, told]).toEqual([
      [5, 6],
      ["e.5", "e.6"],
    ]);
  });

  test.each<[string, (server: Server) => void]>([
    ["leaves one out", (server) => server.event(7)],
    ["is of another epoch", (server) => server.event(6, "f")],
  ])("begins anew where it was when an event %s", async (_, act) => {
    const { servers, seen, last } = await open();
    last().snapshot(4);
    last().event(5);
    act(last());
    expect([seen, last().closed]).toEqual([[5], true]);
    await vi.advanceTimersByTimeAsync(250);
    expect([servers.length, new URL(last().url).searchParams.get("since")]).toEqual([2, "e.5"]);
  });

  test("begins anew where it was when an event comes before the snapshot", async () => {
    const { seen, last } = await open({ since: "e.4" });
    last().event(5);
    expect([seen, last().closed]).toEqual([[], true]);
  });

  test("tells of a reset, and goes on from there, in another epoch too", async () => {
    const onState = vi.fn();
    const { seen, told, last } = await open({ since: "e.4", onState });
    last().snapshot(90, "f", "reset");
    last().event(91, "f");
    expect(onState.mock.calls.map(([, cause]) => cause)).toEqual(["reset"]);
    expect([seen, told]).toEqual([[91], ["f.91"]]);
  });

  test("passes over what it does not know", async () => {
    const { seen, last } = await open();
    last().snapshot(4);
    for (const text of ["pong", "no json", "[]", "null", '{"type":"of the future"}']) last().emit("message", text);
    last().emit("message", new ArrayBuffer(8));
    last().event(5);
    expect(seen).toEqual([5]);
  });

  test("waits longer from try to try, to a limit, and shortly again after a good connection", async () => {
    const { servers, last } = await open();
    const waits: number[] = [];
    for (let n = 0; n < 10; n += 1) {
      const before = Date.now();
      const count = servers.length;
      last().emit("error");
      last().emit("close");
      while (servers.length === count) await vi.advanceTimersByTimeAsync(50);
      waits.push(Date.now() - before);
    }
    expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    last().snapshot(1);
    await vi.advanceTimersByTimeAsync(6_000);
    last().emit("close");
    await vi.advanceTimersByTimeAsync(250);
    expect(servers).toHaveLength(12);
  });

  test("tries again when connecting itself fails", async () => {
    const connect = vi.fn(() => Promise.reject(new Error("refused")));
    await open({ connect });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(connect.mock.calls.length).toBeGreaterThan(1);
  });

  test("that is closed stays so", async () => {
    const onConnection = vi.fn();
    const { servers, seen, subscription, last } = await open({ onConnection });
    last().snapshot(4);
    subscription.close();
    last().event(5);
    last().emit("close");
    await vi.advanceTimersByTimeAsync(120_000);
    expect([servers.length, seen, last().closed]).toEqual([1, [], true]);
    expect(onConnection.mock.calls.flat()).toEqual(["connecting", "open", "closed"]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a server that falls silent", () => {
  test("is asked after a heartbeat's time, and left when it says nothing", async () => {
    const { servers, last } = await open();
    const [first] = servers;
    last().snapshot(4);
    await vi.advanceTimersByTimeAsync(32_000);
    expect(first?.got).not.toContain("ping");
    await vi.advanceTimersByTimeAsync(3_000);
    expect(first?.got.filter((text) => text === "ping")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(12_000);
    expect([first?.closed, servers.length]).toEqual([true, 2]);
  });

  test("is there as long as there are heartbeats, or pongs", async () => {
    const { servers, last } = await open();
    last().snapshot(4);
    for (let n = 0; n < 10; n += 1) {
      await vi.advanceTimersByTimeAsync(40_000);
      if (n % 2 === 0) last().frame({ type: "heartbeat" });
      else last().emit("message", "pong");
    }
    expect(servers).toHaveLength(1);
  });

  test("from the beginning is left sooner", async () => {
    const { servers } = await open();
    await vi.advanceTimersByTimeAsync(17_000);
    expect(servers).toHaveLength(2);
  });
});

describe("acknowledgements", () => {
  test("begin with the snapshot, and follow events and states before long", async () => {
    const { last } = await open();
    last().snapshot(4);
    expect(last().acks).toEqual([4]);
    last().event(5);
    last().event(6);
    await vi.advanceTimersByTimeAsync(1_999);
    expect(last().acks).toEqual([4]);
    await vi.advanceTimersByTimeAsync(1);
    expect(last().acks).toEqual([4, 6]);
    last().frame({ type: "state", services: [], queue: queueRecord([], 0) });
    await vi.advanceTimersByTimeAsync(2_000);
    expect(last().acks).toEqual([4, 6, 6]);
  });

  test("do not wake a server for its heartbeats", async () => {
    const { last } = await open();
    last().snapshot(4);
    last().frame({ type: "heartbeat" });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(last().acks).toEqual([4]);
  });

  test("come sooner when much is received, and never more than ten a second", async () => {
    const { last } = await open();
    last().snapshot(0);
    for (let seq = 1; seq <= 1_000; seq += 1) {
      last().event(seq, "e", "x".repeat(20_000));
      if (seq % 10 === 0) await vi.advanceTimersByTimeAsync(10);
    }
    await vi.advanceTimersByTimeAsync(2_000);
    expect(last().acks.at(-1)).toBe(1_000);
    expect(last().acks.length).toBeGreaterThan(5);
    expect(last().acks.length).toBeLessThanOrEqual(13);
  });
});
