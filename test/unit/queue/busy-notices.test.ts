/**
 * Busy and calm between a shard and its ServiceDO, over a network that loses, delays, repeats and reorders, while the
 * shard may die at any moment: the real ServiceLink on one side, the real compare-and-set on the other.
 */
import fc from "fast-check";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { BusyState } from "../../../durable-objects/queue/meta-store";
import { ServiceLink } from "../../../durable-objects/queue/service-link";
import type { ShardRecord } from "../../../durable-objects/service/service-store";
import { takeCalm, takeNotice } from "../../../durable-objects/service/shards";
import { DEFAULT_CONFIG } from "../../../src/shared/config";
import type { CalmNotice, DrainTerms, NoticeReply, ShardNotice, ShardUsage } from "../../../src/shared/protocol";

const T0 = 1_738_829_640_000;
const LIMIT = { operations: 1_000, bytes: 1_000_000 };
const USAGE: ShardUsage = {
  pending: 0,
  processing: 0,
  failed: 0,
  bytes: 0,
  oldestAt: null,
  completed: 0,
  cancelled: 0,
  superseded: 0,
};
const CLOSED = { state: "CLOSED", generation: 0, openUntil: null, ramp: null } as const;
const TERMS: DrainTerms = {
  storageId: "s",
  version: 1,
  shardCount: 8,
  circuits: { read: CLOSED, write: CLOSED },
  paused: false,
  config: DEFAULT_CONFIG,
  faults: [],
  clockOffsetMs: 0,
  lastWriteSuccessAt: null,
};

/** A message under way. It may arrive more than once, and its reply never. */
interface Message {
  arrive(): void;
  reply(): void;
  lose(): void;
}

class World {
  /** What the shard has stored; it outlives the shard. */
  #busy: BusyState | null = null;
  #terms: DrainTerms | null = null;
  readonly held = new Set<number>();
  service: ShardRecord | undefined;
  readonly messages: Message[] = [];
  link: ServiceLink;

  constructor() {
    this.link = this.open();
  }

  open(): ServiceLink {
    return new ServiceLink({
      shard: 0,
      meta: {
        busyState: () =>
          this.#busy ?? {
            epoch: 0,
            busy: null,
            confirmedEpoch: 0,
            leasesEndAt: 0,
            quota: { operations: 0, bytes: 0 },
            isCalming: false,
          },
        saveBusyState: (state: BusyState) => {
          this.#busy = structuredClone(state);
        },
        terms: () => this.#terms,
        saveTerms: (terms: DrainTerms) => {
          this.#terms = terms;
        },
        storageId: () => "epoch",
        events: () => [],
        removeEvents: () => {},
      },
      usage: () => USAGE,
      stub: () => ({
        notice: (notice) => this.#send(() => this.#takeNotice(notice)),
        calm: (notice) => this.#send(() => this.#takeCalm(notice)),
        drain: () => Promise.reject(new Error("not part of this")),
        takeEvents: () => Promise.reject(new Error("not part of this")),
      }),
    });
  }

  #send<T>(take: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let answer: { value: T } | null = null;
    this.messages.push({
      arrive: () => {
        const value = take();
        answer ??= { value };
      },
      reply: () => {
        if (answer !== null) resolve(answer.value);
      },
      lose: () => reject(new Error("Network connection lost.")),
    });
    return promise;
  }

  #takeNotice(notice: ShardNotice): NoticeReply {
    const taken = takeNotice(this.service, notice, LIMIT, 8, this.service === undefined ? [] : [this.service]);
    if (taken !== null) this.service = taken.record;
    return { quota: this.service?.quota ?? { operations: 0, bytes: 0 }, leasesEndInMs: 0, terms: TERMS };
  }

  #takeCalm(notice: CalmNotice): { accepted: boolean } {
    const record = takeCalm(this.service, notice);
    if (record !== null) this.service = record;
    return { accepted: record !== null };
  }

  /** What an acknowledged write needs: that the ServiceDO tells everybody of its key. */
  check(): void {
    if (!this.link.isConfirmed) return;
    const busy = this.service?.busy ?? null;
    for (const key of this.held) {
      const isShown = busy !== null && (busy === "all" || busy.includes(key));
      expect(isShown, `key ${key} is held and confirmed, but the ServiceDO shows ${JSON.stringify(busy)}`).toBe(true);
    }
  }
}

type Step =
  | { readonly do: "hold" | "release"; readonly key: number }
  | { readonly do: "releaseAll" | "flush" | "calm" | "narrow" | "die" | "deliver" }
  | { readonly do: "arrive" | "reply" | "lose"; readonly message: number }
  | { readonly do: "wait"; readonly ms: number };

async function run(world: World, step: Step): Promise<void> {
  const { link, held, messages } = world;
  switch (step.do) {
    case "hold":
      held.add(step.key);
      link.widen(step.key);
      void link.confirm();
      break;
    case "release":
      held.delete(step.key);
      break;
    case "releaseAll":
      held.clear();
      break;
    case "flush":
      void link.flush(Date.now());
      break;
    case "calm":
      if (held.size === 0) void link.becomeCalm();
      break;
    case "narrow":
      link.narrow([...held]);
      break;
    case "die":
      world.link = world.open();
      break;
    case "deliver":
      messages.at(-1)?.arrive();
      messages.at(-1)?.reply();
      break;
    case "arrive":
    case "reply":
    case "lose":
      messages.at(step.message % Math.max(1, messages.length))?.[step.do]();
      break;
    case "wait":
      await vi.advanceTimersByTimeAsync(step.ms);
      break;
  }
  // Whatever has been answered goes on.
  await vi.advanceTimersByTimeAsync(0);
}

/** A network that works again: every message arrives and is answered, until nothing is left to say. */
async function settle(world: World): Promise<void> {
  for (let round = 0; round < 20; round += 1) {
    await vi.advanceTimersByTimeAsync(2_100);
    const wait = world.link.flush(Date.now());
    if (world.held.size === 0) void world.link.becomeCalm();
    for (let n = 0; n < 4; n += 1) {
      for (const message of world.messages) {
        message.arrive();
        message.reply();
      }
      await vi.advanceTimersByTimeAsync(0);
    }
    await wait;
  }
}

/** Mostly the same two keys; sometimes so many that the list does not hold them. */
const key = fc.oneof({ weight: 4, arbitrary: fc.nat(1) }, { weight: 1, arbitrary: fc.nat(20) });
/** Mostly the latest messages, also ones from long ago. */
const message = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: -2, max: -1 }) },
  { weight: 1, arbitrary: fc.nat(40) },
);
const steps = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant("hold" as const), key }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("release" as const), key }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("releaseAll" as const, "calm" as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("flush" as const, "narrow" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("die" as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("deliver" as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("arrive" as const, "reply" as const), message }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("lose" as const), message }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(1, 1_000, 2_000) }) },
  ),
  { maxLength: 60 },
);

beforeEach(() => {
  vi.useFakeTimers({ now: T0 });
});
afterEach(() => {
  vi.useRealTimers();
});

it("never shows calm for a key that is held and confirmed, whatever the network and the shard's deaths do", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (story) => {
      const world = new World();
      for (const step of story) {
        await run(world, step);
        world.check();
      }
      await settle(world);
      expect(world.link.isConfirmed).toBe(true);
      world.check();
      expect(world.service?.busy ?? null).toEqual(world.held.size === 0 ? null : expect.anything());
    }),
    { numRuns: 1_500 },
  );
}, 60_000);
