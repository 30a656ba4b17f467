/**
 * A shard dies at each await, once before the step's work is done and once right after it. Its callers either send the
 * same write again, or give up and never learn whether it was taken. Then the shard comes back, R2 is there, and what
 * was acknowledged must be in R2: bytes, etag and metadata; what was deleted stays deleted; each operation has one end.
 *
 * All stories run side by side on shards of their own, because a recovered shard must wait for the fences of the calls
 * that it does not know the end of.
 */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { QueueDO } from "../../../durable-objects/queue/queue-do";
import { atOnce } from "../../../src/shared/at-once";
import type { EnqueueReply, EnqueueRequest } from "../../../src/shared/protocol";
import type { OperationRecord } from "../../../src/shared/records";
import { CRASHES, type Crash } from "./crash-table";
import {
  bytes,
  counts,
  idOf,
  MIB,
  md5,
  PLAIN,
  pause,
  putRequest,
  resume,
  rows,
  service,
  shard,
  start,
  stored,
  streamOf,
  text,
} from "./support";

interface Plan extends Crash {
  readonly n: number;
  readonly moment: "before" | "after";
  readonly sendsAgain: boolean;
}

/** What R2 may hold of a key: bytes with their custom metadata, or nothing. */
type State = { readonly data: Uint8Array; readonly note: string } | null;

interface Write {
  readonly id: string;
  readonly key: string;
  readonly state: State;
  readonly isAcknowledged: boolean;
}

const TAKES_IN = /^(enqueue|ask)\./;
/** Where it makes a difference whether a payload comes whole or as a stream. */
const STREAMED = /^(enqueue\.(reserve|read|digest|seal)|apply\.(read|put))$/;
const PLANS: readonly Plan[] = CRASHES.flatMap((crash, i) => {
  const isFirst = CRASHES.findIndex(({ step }) => step === crash.step) === i;
  return (["before", "after"] as const).flatMap((moment) =>
    callers(crash, moment, isFirst).map((sendsAgain) => ({ ...crash, moment, sendsAgain })),
  );
}).map((plan, n) => ({ ...plan, n }));

/** Both kinds of caller at the first crash of a step, one of them at the others: a service has 64 shards. */
function callers({ step }: Crash, moment: Plan["moment"], isFirst: boolean): boolean[] {
  if (!TAKES_IN.test(step)) return [true];
  return isFirst ? [true, false] : [moment === "after"];
}

const TRIES = 5;
const nameOf = ({ step, nth, moment, sendsAgain }: Plan) =>
  `${moment} the work of ${step} (${nth}), and its caller ${sendsAgain ? "sends again" : "gives up"}`;

class Story {
  readonly writes: Write[] = [];
  readonly before = new Map<string, State>();
  hasDied = false;

  constructor(readonly plan: Plan) {}

  key(name: string): string {
    return `crash/${this.plan.n}/${name}`;
  }

  /** Puts steps in place that die once. What was put in place is gone with the object, so it is done anew. */
  async arm(): Promise<void> {
    const { step: where, nth, moment } = this.plan;
    let seen = 0;
    await runInDurableObject(shard(this.plan.n), (instance: QueueDO, state) => {
      instance.steps = {
        at: async (step, work) => {
          if (step !== where || this.hasDied) return await work;
          seen += 1;
          if (seen !== nth) return await work;
          if (moment === "after") await work.catch(() => undefined);
          this.hasDied = true;
          state.abort(`died ${moment} ${where}`);
          return await work;
        },
      };
    });
  }

  async put(name: string, part: string, data: Uint8Array, changes: Partial<EnqueueRequest> = {}, isStream = false) {
    const key = this.key(name);
    const metadata = { ...PLAIN, customMetadata: { note: part } };
    const request = putRequest(key, part, { metadata, ...changes });
    const isAcknowledged = await this.#send(async () => {
      const body = isStream ? streamOf(data, [65_536]) : data;
      stored((await shard(this.plan.n).enqueue(request, body)) as EnqueueReply);
    });
    this.writes.push({ id: request.operationId, key, state: { data, note: part }, isAcknowledged });
  }

  async remove(name: string, part: string) {
    const key = this.key(name);
    const id = idOf(key, part);
    const isAcknowledged = await this.#send(async () => {
      const items = [{ key, operationId: id }];
      const asked = { kind: "delete" as const, items, writable: false, deadlineMs: 200, priority: 5, userId: null };
      const { verdicts } = await shard(this.plan.n).ask(asked);
      if (verdicts[0]?.verdict !== "queued") throw new Error(JSON.stringify(verdicts));
    });
    this.writes.push({ id, key, state: null, isAcknowledged });
  }

  /** True: acknowledged. A caller sees its call fail only because the shard died. */
  async #send(call: () => Promise<void>): Promise<boolean> {
    for (let tries = 1; ; tries += 1) {
      try {
        await call();
        return true;
      } catch (error) {
        if (!this.hasDied) throw error;
        if (!this.plan.sendsAgain) return false;
        if (tries === TRIES) throw error;
      }
    }
  }

  /** What R2 may hold in the end: the last acknowledged write, or one after it whose caller was not told. */
  allowed(key: string): State[] {
    let states: State[] = [this.before.get(key) ?? null];
    for (const write of this.writes) {
      if (write.key !== key) continue;
      states = write.isAcknowledged ? [write.state] : [...states, write.state];
    }
    return states;
  }
}

/** Writes of every kind, so that each step is met: streamed, overwritten, conditional, feared, deleted. */
async function takeIn(story: Story): Promise<void> {
  const { n, step } = story.plan;
  if (STREAMED.test(step)) await story.put("streamed", "put", bytes(2.5 * MIB, n), {}, true);
  await story.put("overwritten", "first", text(`first ${n}`));
  await story.put("overwritten", "second", text(`second ${n}`));
  await story.remove("deleted", "delete");

  const etag = (await env.R2_BUCKET.head(story.key("conditional")))?.etag ?? "";
  await story.put("conditional", "if-match", text(`conditional ${n}`), { condition: { etagMatches: [etag] } });

  // A direct call whose end is unknown carried the same bytes, and may yet land.
  const unknown = { callId: `call-${n}`, startedMsAgo: 5, fenceInMs: 300 };
  await story.put("feared", "put", text(`feared ${n}`), { directCall: unknown });
  // Another one was given up, and nothing of it was queued.
  await shard(n).quarantine(story.key("verified"), "0:0:0", { ...unknown, callId: `given-up-${n}` });
  await story.put("verified", "put", text(`verified ${n}`));
}

const stories = PLANS.map((plan) => new Story(plan));

async function isDrained(n: number): Promise<boolean> {
  try {
    await shard(n).poke();
    const { receipts, payload_chunks, freeing, outstanding_calls } = await counts(n);
    const live = await rows(n, "SELECT 1 FROM operation_queue WHERE phase <> 'final'");
    return live.length === 0 && [receipts, payload_chunks, freeing, outstanding_calls].every((count) => count === 0);
  } catch {
    // It dies at this very moment.
    return false;
  }
}

beforeAll(async () => {
  expect(PLANS.length).toBeLessThanOrEqual(64);
  // Longer than a busy machine takes: a call that is given up is waited for.
  await start({ write_timeout_ms: 1_000, read_timeout_ms: 1_000 });
  for (const story of stories) {
    for (const name of ["deleted", "conditional"]) {
      const key = story.key(name);
      await env.R2_BUCKET.put(key, `before ${key}`, { customMetadata: { note: "before" } });
      story.before.set(key, { data: text(`before ${key}`), note: "before" });
    }
  }
  await pause();
  await atOnce(6, stories, async (story) => {
    await story.arm();
    await takeIn(story);
  });
  for (const story of stories) if (!story.hasDied) await story.arm();
  await resume();
  await Promise.all(
    stories.map(({ plan: { n } }) => vi.waitUntil(() => isDrained(n), { timeout: 120_000, interval: 250 })),
  ).catch(() => undefined);
}, 300_000);

describe.each(stories.map((story) => ({ name: nameOf(story.plan), story })))("a shard that dies $name", ({ story }) => {
  const { n } = story.plan;

  it("has died", () => {
    expect(story.hasDied).toBe(true);
  });

  it("leaves in R2 what was acknowledged last, byte for byte", async () => {
    for (const key of new Set(story.writes.map((write) => write.key))) {
      const object = await env.R2_BUCKET.get(key);
      const data = object === null ? null : new Uint8Array(await object.arrayBuffer());
      const held = await described(data, object?.customMetadata?.note);
      expect(
        await Promise.all(story.allowed(key).map((state) => described(state?.data ?? null, state?.note))),
      ).toContainEqual(held);
      if (data !== null) expect(object?.etag).toBe(await md5(data));
    }
  });

  it("ends each operation once", async () => {
    const operations = await shard(n).operations({ limit: 100 });
    const byId = new Map(operations.map((operation) => [operation.operation_id, operation]));
    expect(byId.size).toBe(operations.length);
    for (const { id, isAcknowledged } of story.writes) {
      const operation: OperationRecord | undefined = byId.get(id);
      if (isAcknowledged) expect(operation, id).toBeDefined();
      if (operation !== undefined) expect(["COMPLETED", "SUPERSEDED"]).toContain(operation.status);
      byId.delete(id);
    }
    expect([...byId.keys()]).toEqual([]);
  });

  it("holds nothing any more, and says so", async () => {
    expect(await counts(n)).toMatchObject({ receipts: 0, payload_chunks: 0, freeing: 0, outstanding_calls: 0 });
    expect(await shard(n).usage()).toMatchObject({ pending: 0, processing: 0, failed: 0, bytes: 0, oldestAt: null });
    await expect.poll(async () => (await shard(n).peek("x")).shard.busy, { timeout: 10_000 }).toBeNull();
  });
});

async function described(data: Uint8Array | null, note: string | undefined) {
  return data === null ? "nothing" : `${note}, ${data.byteLength} bytes, md5 ${await md5(data)}`;
}

it("leaves the service as it was: the circuits closed", async () => {
  const { record } = await service().overview();
  expect(record.circuit_breaker_state).toBe("CLOSED");
});
