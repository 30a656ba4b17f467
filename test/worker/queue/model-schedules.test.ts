/** Schedules that chance seldom finds: late landings, stale snapshots, tickets and dead objects, each at its worst moment. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test, vi } from "vitest";
import type { QueueDO } from "../../../durable-objects/queue/queue-do";
import type { Step, Steps } from "../../../durable-objects/queue/steps";
import { shardName } from "../../../src/shared/keys";
import type { FaultRule } from "../../../src/shared/protocol";
import { createIsolates, type Isolate } from "../model/isolates";
import { configureQueues, pause, TestService } from "../model/service";

vi.hoisted(async () => {
  // workerd has no such method, and Vitest calls it after each mocked module.
  const hooks: string = "node:async_hooks";
  const { AsyncLocalStorage } = await import(hooks);
  AsyncLocalStorage.prototype.disable = () => undefined;
});
vi.mock("../../../src/shared/fence", () => ({ FENCE_MARGIN_MS: 1_200 }));

// A call that lands late does so after its deadline (80 ms) and well before the end of its fence (1,280 ms), so that a
// machine that is busy with other things does not turn the two around.
const PUT_LANDS_LATE: FaultRule = { operations: ["put"], latency_ms: 200, land_late: true };
const DELETE_LANDS_LATE: FaultRule = { operations: ["delete"], latency_ms: 200, land_late: true };
const DRAIN_MS = 15_000;

let open: ((service: string) => Isolate)[] = [];
let services = 0;

beforeAll(async () => {
  open = await createIsolates(2);
  await configureQueues();
});

/** Two isolates that believe their snapshots for as long as the test takes. */
async function twoIsolates(config: Readonly<Record<string, number>> = {}) {
  services += 1;
  const service = await TestService.open(`SCHEDULE_${services}`, open, { lease_cap_ms: 5_000, ...config });
  const [a, b] = service.isolates;
  if (a === undefined || b === undefined) throw new Error("two isolates were asked for");
  return { service, a, b, key: service.key(0) };
}

async function textIn(key: string): Promise<string | null> {
  const object = await env.R2_BUCKET.get(key);
  return object === null ? null : object.text();
}

async function afterDrain(service: TestService, key: string): Promise<string | null> {
  await service.heal();
  await service.drained(DRAIN_MS);
  const text = await textIn(key);
  await service.close();
  return text;
}

/** Something happens right after each step of the shard. */
async function onStep(service: TestService, key: string, then: (step: Step) => unknown): Promise<void> {
  const stub = env.QUEUE_DO.get(env.QUEUE_DO.idFromName(shardName(service.name, service.shardOf(key))));
  const steps: Steps = {
    async at(step, work) {
      const result = await work;
      await then(step);
      return result;
    },
  };
  await runInDurableObject(stub, (instance) => {
    (instance as unknown as QueueDO).steps = steps;
  });
}

/** Something happens right after one step of the shard, once. */
async function afterStep(service: TestService, key: string, step: Step, then: () => Promise<unknown>): Promise<void> {
  let isDone = false;
  await onStep(service, key, async (name) => {
    if (name !== step || isDone) return;
    isDone = true;
    await then();
  });
}

describe("a put that was given up, and lands late", () => {
  test.concurrent("does not bury a direct put that another isolate began after it was queued", async () => {
    const { service, a, b, key } = await twoIsolates();
    await service.setFaults([PUT_LANDS_LATE], [a]);
    expect((await a.bounded.write(key, "first")).kind).toBe("queued");
    expect((await b.bounded.write(key, "second")).kind).toBe("stored");
    await pause(200);
    expect(await textIn(key)).toBe("second");
    expect(await afterDrain(service, key)).toBe("second");
  });

  test.concurrent("does not bury what was queued after it", async () => {
    const { service, a, key } = await twoIsolates();
    await service.setFaults([PUT_LANDS_LATE], [a]);
    await a.bounded.write(key, "first");
    await a.bounded.write(key, "second");
    expect(await afterDrain(service, key)).toBe("second");
  });

  test.concurrent("does not bury what the queue has written after its fence", async () => {
    const { service, a, key } = await twoIsolates();
    await service.setFaults([{ ...PUT_LANDS_LATE, latency_ms: 2_500 }], [a]);
    await a.bounded.write(key, "first");
    await service.setFaults([]);
    await a.bounded.write(key, "second");
    await service.drained(2_300);
    expect(await textIn(key)).toBe("second");
    await pause(2_000);
    expect(await afterDrain(service, key)).toBe("second");
  });

  test.concurrent("does not bury what was queued after it, when it was the drain that had made the call", async () => {
    const { service, a, key } = await twoIsolates();
    await service.setMode("forced_open");
    await a.bounded.write(key, "first");
    await service.setFaults([PUT_LANDS_LATE], []);
    await service.setMode("auto");
    await pause(120);
    expect((await a.bounded.write(key, "second")).kind).toBe("queued");
    expect(await afterDrain(service, key)).toBe("second");
  });

  test.concurrent("brings nothing back that was deleted after it", async () => {
    const { service, a, key } = await twoIsolates();
    await service.setFaults([PUT_LANDS_LATE], [a]);
    await a.bounded.write(key, "first");
    await service.setFaults([]);
    expect((await a.bounded.remove(key)).kind).toBe("queued");
    expect(await afterDrain(service, key)).toBeNull();
  });
});

describe("a delete that was given up, and lands late", () => {
  test.concurrent("takes nothing that was written after it, when it was the drain that had made the call", async () => {
    const { service, a, key } = await twoIsolates({ lease_cap_ms: 100 });
    await env.R2_BUCKET.put(key, "old");
    await service.setMode("forced_open");
    await a.bounded.remove(key);
    await pause(1_500);
    await service.setFaults([DELETE_LANDS_LATE], []);
    await service.setMode("auto");
    await givenUp(service);
    await service.setFaults([]);
    expect((await a.bounded.write(key, "new")).kind).toBe("queued");
    expect(await afterDrain(service, key)).toBe("new");
  });

  test.concurrent("takes nothing that was written after it, on a shard whose leases ran out long ago", async () => {
    const { service, a } = await twoIsolates();
    const [held, victim] = sameShard(service);
    await service.setFaults([{ operations: "write", key_prefix: held }]);
    await service.setMode("forced_open");
    await a.bounded.write(held, "stuck");
    await a.bounded.write(victim, "old");
    await service.setMode("auto");
    await vi.waitFor(async () => expect(await textIn(victim)).toBe("old"), { timeout: 3_000, interval: 20 });
    // Every lease from before has run out, and what was called under one.
    await pause(6_500);
    await service.refresh();
    await service.setFaults([DELETE_LANDS_LATE, { operations: "write", key_prefix: held }], [a]);
    await service.setFaults([{ operations: "write", key_prefix: held }], []);
    expect((await a.bounded.remove(victim)).kind).toBe("queued");
    await pause(20);
    expect((await a.bounded.write(victim, "new")).kind).toBe("queued");
    expect(await afterDrain(service, victim)).toBe("new");
  });
});

describe("a conditional put", () => {
  test.concurrent("that fails against what is queued leaves it alone, even when its own call lands late", async () => {
    const { service, a, b, key } = await twoIsolates();
    const old = await env.R2_BUCKET.put(key, "old");
    await service.setFaults([PUT_LANDS_LATE], [a]);
    await service.setFaults([{ operations: ["put"] }], [b]);
    const conditional = a.bounded.write(key, "conditional", { onlyIf: { etagMatches: old?.etag ?? "" } });
    await pause(30);
    expect((await b.bounded.write(key, "queued")).kind).toBe("queued");
    expect((await conditional).kind).toBe("condition_failed");
    expect(await afterDrain(service, key)).toBe("queued");
  });

  test.concurrent("that R2 decided before another write was queued comes before it, though its reply was lost", async () => {
    const { service, a, b, key } = await twoIsolates();
    const old = await env.R2_BUCKET.put(key, "old");
    await service.setFaults([{ operations: ["put"], latency_ms: 50, lose_reply: true }], [a]);
    await service.setFaults([{ operations: ["put"] }], [b]);
    const conditional = a.bounded.write(key, "conditional", { onlyIf: { etagMatches: old?.etag ?? "" } });
    await pause(20);
    expect((await b.bounded.write(key, "queued")).kind).toBe("queued");
    // It took effect, but not last, and nobody can say so any more.
    await expect(conditional).rejects.toMatchObject({ code: "CONDITION_UNVERIFIABLE", outcomeUnknown: true });
    expect(await afterDrain(service, key)).toBe("queued");
  });

  test.concurrent("does not bury a direct put that its decision has not seen", async () => {
    const { service, a, b, key } = await twoIsolates();
    await service.setPaused(true);
    await service.setFaults([{ operations: ["put"] }], [a]);
    const pending = await a.bounded.write(key, "pending");
    if (pending.kind !== "queued") throw new Error("the first write was to be queued");
    await afterStep(service, key, "enqueue.decide", () => b.bounded.write(key, "direct"));
    const onlyIf = { etagMatches: pending.object.etag };
    expect((await a.bounded.write(key, "conditional", { onlyIf })).kind).toBe("queued");
    expect(await textIn(key)).toBe("direct");
    expect(await afterDrain(service, key)).toBe("direct");
  });
});

describe("a conditional put that is decided without a look at R2", () => {
  test("covers no more than the operation that it was decided on", async () => {
    const { service, a, b, key } = await twoIsolates();
    await service.setMode("forced_open", [a]);
    const pending = await a.bounded.write(key, "pending");
    if (pending.kind !== "queued") throw new Error("the first write was to be queued");
    expect((await b.bounded.write(key, "direct")).kind).toBe("stored");
    await service.setFaults([{ operations: "read" }]);
    const onlyIf = { etagMatches: pending.object.etag };
    expect((await a.bounded.write(key, "conditional", { onlyIf })).kind).toBe("queued");
    expect(await afterDrain(service, key)).toBe("direct");
  });
});

describe("a shard that dies", () => {
  test.concurrent("applies the successor of the operation that it had in its hands, not the operation after it", async () => {
    const { service, a, key } = await twoIsolates({ write_timeout_ms: 400 });
    await service.setMode("forced_open");
    await a.bounded.write(key, "first", { priority: 10 });
    await service.setFaults([{ operations: ["put"], hang: true }], []);
    await service.setMode("auto");
    await pause(150);
    expect((await a.bounded.write(key, "second", { priority: 1 })).kind).toBe("queued");
    await service.setPaused(true);
    await service.abortShard(service.shardOf(key));
    await service.setFaults([]);
    // Until the call that died with it can land no more.
    await pause(1_700);
    expect(await afterDrain(service, key)).toBe("second");
  });
});

describe("a queued delete", () => {
  test.concurrent("spares a direct put of an isolate that has not heard of it", async () => {
    const { service, a, b, key } = await twoIsolates({ lease_cap_ms: 1_000 });
    await env.R2_BUCKET.put(key, "old");
    await service.setMode("forced_open", [a]);
    expect((await a.bounded.remove(key)).kind).toBe("queued");
    expect((await b.bounded.write(key, "direct")).kind).toBe("stored");
    expect(await b.strong.get(key).then((object) => object?.text())).toBe("direct");
    expect(await afterDrain(service, key)).toBe("direct");
  });

  test.concurrent("spares a direct put that comes between its look and its deed", async () => {
    const { service, a, b, key } = await twoIsolates({ lease_cap_ms: 1_000 });
    await env.R2_BUCKET.put(key, "old");
    await service.setMode("forced_open", [a]);
    await a.bounded.remove(key);
    let second = "";
    await afterStep(service, key, "apply.head", async () => {
      second = (await b.bounded.write(key, "direct")).kind;
    });
    const text = await afterDrain(service, key);
    // By now nobody writes past the queue any more.
    expect([second, text]).toEqual(["queued", "direct"]);
  });
});

describe("a large put that hangs without reading its body", () => {
  test("gives its payload back once it is superseded", async () => {
    const { service, a, key } = await twoIsolates();
    await service.setMode("forced_open");
    await a.bounded.write(key, new Uint8Array(1_100_000));
    await service.setFaults([{ operations: ["put"], hang: true }], []);
    await service.setMode("auto");
    await vi.waitFor(async () => expect((await service.leftovers(service.shardOf(key))).calls).toBe(1), 3_000);
    await a.bounded.write(key, "small");
    // `drained` fails on chunks that are left over.
    expect(await afterDrain(service, key)).toBe("small");
  });
});

describe("an isolate that has written past a queued write", () => {
  test("does not read the queued one in its place while R2 cannot be read", async () => {
    const { service, a, b, key } = await twoIsolates();
    await service.setMode("forced_open", [a]);
    expect((await a.bounded.write(key, "queued")).kind).toBe("queued");
    expect((await b.bounded.write(key, "direct")).kind).toBe("stored");
    await service.setFaults([{ operations: "read" }]);
    await expect(b.strong.get(key)).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
    expect((await b.bounded.write(key, "after")).kind).toBe("queued");
    expect(await b.strong.get(key).then((object) => object?.text())).toBe("after");
    expect(await afterDrain(service, key)).toBe("after");
  });
});

describe("a shard with an operation that waits", () => {
  test("leaves the thread alone until it is time", async () => {
    const { service, a } = await twoIsolates();
    const [waits, drains] = sameShard(service);
    await service.setPaused(true);
    await service.setFaults([{ operations: ["put"], hang: true }], [a]);
    await a.bounded.write(waits, "waits for its fence");
    await service.setFaults([]);
    await service.setMode("forced_open", [a]);
    await a.bounded.write(drains, "drains at once");
    let looks = 0;
    await onStep(service, waits, (step) => {
      if (step === "drain.wait") looks += 1;
    });
    await service.setMode("auto");
    await service.setPaused(false);
    await vi.waitFor(async () => expect(await textIn(drains)).not.toBeNull(), { timeout: 3_000, interval: 20 });
    await pause(400);
    expect(looks).toBeLessThan(50);
    expect(await afterDrain(service, waits)).toBe("waits for its fence");
  });
});

/** Two keys of one shard. */
function sameShard(service: TestService): [string, string] {
  const first = service.key(0);
  for (let n = 1; ; n += 1) {
    if (service.shardOf(service.key(n)) === service.shardOf(first)) return [first, service.key(n)];
  }
}

/** Until the service's only operation has been tried, and given up. */
async function givenUp(service: TestService): Promise<void> {
  await vi.waitFor(
    async () => {
      const [operation] = await service.operations();
      expect(operation?.error_message).toContain("no answer");
    },
    { timeout: 5_000, interval: 5 },
  );
}
