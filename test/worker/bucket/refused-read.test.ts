/** What cannot be served while the read circuit is open is refused within 50 ms, whoever hangs, and without R2. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { isolateState, refreshNow } from "../../../src/bucket/isolate-service";
import type { BucketOptions } from "../../../src/bucket/session";
import { trip } from "../../../src/circuit/circuit";
import { hashKey, shardOf } from "../../../src/shared/keys";
import { CLOSED, newWorld, SHARDS, type World } from "./world";

const LEASE_MS = 1_000;
const CAP_MS = 5_000;
const OPEN = { ...CLOSED, state: "OPEN", openUntil: Number.MAX_SAFE_INTEGER } as const;
let world: World;

beforeEach(() => {
  vi.useFakeTimers();
  world = newWorld({ lease_cap_ms: CAP_MS });
  world.change({ leaseMs: LEASE_MS, circuits: { read: OPEN, write: CLOSED } });
});
afterEach(async () => {
  // Whatever still waits gives up.
  await vi.advanceTimersByTimeAsync(60_000);
  vi.useRealTimers();
});

/** The isolate's own circuit is open, and stays so. */
function openOwnCircuit(): void {
  const { read } = isolateState("R2_STORAGE").circuits;
  trip(read, Date.now(), Math.random);
  read.openUntil = Number.MAX_SAFE_INTEGER;
}

/** What each of these isolates knows: the circuit is open, and nothing is queued for the key. */
const KNOWLEDGE: Readonly<Record<string, () => Promise<void>>> = {
  "a fresh snapshot": async () => {
    await refreshNow(world.env, "R2_STORAGE");
  },
  "a snapshot whose lease has run out": async () => {
    await refreshNow(world.env, "R2_STORAGE");
    vi.advanceTimersByTime(LEASE_MS + 1);
  },
  "a snapshot past its cap, and a circuit of its own": async () => {
    world.change({ circuits: { read: CLOSED, write: CLOSED } });
    await refreshNow(world.env, "R2_STORAGE");
    openOwnCircuit();
    vi.advanceTimersByTime(CAP_MS + 1);
  },
  "only a circuit of its own": async () => openOwnCircuit(),
};

/** What became of a read within 50 ms. */
async function within50ms(read: (key: string) => Promise<unknown>): Promise<unknown> {
  let result: unknown = "nothing yet";
  const settle = (settled: unknown) => {
    result = settled;
  };
  read("key").then(settle, settle);
  await vi.advanceTimersByTimeAsync(50);
  return result;
}

const bucket = (options: BucketOptions = {}) => world.bucket(options);
const refused = { code: "SERVICE_UNAVAILABLE", retryAfter: expect.any(Number) };

describe.each(Object.keys(KNOWLEDGE))("by an isolate that has %s", (knowledge) => {
  test.each([
    { silent: "both objects hang", service: "hangs", queue: "hangs" },
    { silent: "the ServiceDO hangs", service: "hangs", queue: "answers" },
    { silent: "the shard hangs", service: "fails", queue: "hangs" },
    { silent: "both objects fail", service: "fails", queue: "fails" },
  ] as const)("though $silent", async ({ service, queue }) => {
    await KNOWLEDGE[knowledge]?.();
    world.serviceMood = service;
    world.queueMood = queue;
    world.r2Calls = [];
    expect(await within50ms((key) => bucket().get(key))).toMatchObject(refused);
    expect(world.r2Calls).toEqual([]);
  });

  test("also the next ones", async () => {
    await KNOWLEDGE[knowledge]?.();
    world.serviceMood = "hangs";
    world.queueMood = "hangs";
    world.r2Calls = [];
    for (let n = 0; n < 3; n += 1) expect(await within50ms((key) => bucket().head(key))).toMatchObject(refused);
    expect(world.r2Calls).toEqual([]);
  });
});

describe("a key that is queued, of which the isolate does not know,", () => {
  beforeEach(() => {
    openOwnCircuit();
    world.serviceMood = "hangs";
    world.pending.set("key", {
      stored: {
        ...{ operationId: "0-00000000-a", status: "PENDING", key: "key", size: 1, etag: "e", checksums: {} },
        enqueuedAt: 0,
      },
      ...{ kind: "put", metadata: null, fenceAt: 0, firstCallAt: null, inline: new Uint8Array([1]) },
    });
  });

  test("is served when its shard answers in time", async () => {
    expect(await within50ms((key) => bucket().get(key))).toMatchObject({ queued: true, size: 1 });
  });

  test("is served to the next reader when its shard answers too late for the first", async () => {
    world.queueDelayMs = 200;
    expect(await within50ms((key) => bucket().get(key))).toMatchObject(refused);
    await vi.advanceTimersByTimeAsync(400);
    const next = bucket().get("key");
    await vi.advanceTimersByTimeAsync(250);
    expect(await next).toMatchObject({ queued: true, size: 1 });
  });
});

test("a key that is known to be busy is worth waiting for", async () => {
  world.change({ shards: [{ shard: shardOf("key", SHARDS), epoch: 1, busy: [hashKey("key")] }] });
  await refreshNow(world.env, "R2_STORAGE");
  world.queueMood = "hangs";
  expect(await within50ms((key) => bucket().get(key))).toBe("nothing yet");
});

test("and a strong read, which must not guess", async () => {
  await refreshNow(world.env, "R2_STORAGE");
  world.queueMood = "hangs";
  expect(await within50ms((key) => bucket({ consistency: "strong" }).get(key))).toBe("nothing yet");
});
