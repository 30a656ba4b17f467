import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { queueStub } from "../../../src/bucket/stubs";
import { DEFAULT_SERVICE } from "../../../src/shared/env";
import type { ShardView } from "../../../src/shared/protocol";
import { IDLE_USAGE } from "../../unit/service/usage";
import {
  allEvents,
  BY,
  busy,
  configure,
  FAST,
  fail,
  openWrites,
  report,
  reportOf,
  type Said,
  service,
  system,
  until,
} from "./world";

beforeEach(async () => {
  await service().probe();
});
afterEach(() => reset());

const calm = (shard: number, epoch: number) => service().calm({ shard, epoch, usage: IDLE_USAGE });
const shownTo = async (reporter: string): Promise<readonly ShardView[]> => (await report(reporter)).shards;

describe("what a shard says is shown in every snapshot from then on", () => {
  test("busy, then calm; each time the version rises", async () => {
    const before = await report("a");
    await service().notice(busy(2, 1));
    const during = await report("a");
    expect(during.shards).toEqual([{ shard: 2, epoch: 1, busy: [7] }]);
    expect(await calm(2, 1)).toEqual({ accepted: true });
    const after = await report("a");
    expect(after.shards).toEqual([{ shard: 2, epoch: 1, busy: null }]);
    expect(before.version).toBeLessThan(during.version);
    expect(during.version).toBeLessThan(after.version);
  });

  test("a calm that comes after a newer busy notice is refused", async () => {
    await service().notice(busy(2, 1));
    await service().notice(busy(2, 2));
    expect(await calm(2, 1)).toEqual({ accepted: false });
    expect(await shownTo("a")).toEqual([{ shard: 2, epoch: 2, busy: [7] }]);
  });

  test("a busy notice that comes after the calm of its epoch changes nothing; one of the next epoch does", async () => {
    await service().notice(busy(2, 1));
    await calm(2, 1);
    await service().notice(busy(2, 1));
    expect(await shownTo("a")).toEqual([{ shard: 2, epoch: 1, busy: null }]);
    await service().notice(busy(2, 2));
    expect(await shownTo("a")).toEqual([{ shard: 2, epoch: 2, busy: [7] }]);
  });

  test("turning busy and calm are events, a new epoch of a busy shard is not", async () => {
    await service().notice(busy(2, 1));
    await service().notice(busy(2, 2));
    await calm(2, 2);
    const types = (await allEvents()).map(({ event_type, event_data }) => [event_type, event_data.epoch]);
    expect(types.filter(([type]) => String(type).startsWith("SHARD_"))).toEqual([
      ["SHARD_BUSY", 1],
      ["SHARD_CALM", 2],
    ]);
  });
});

describe("the answer to a notice says when nobody acts any more on a snapshot without it", () => {
  test("a lease cap after the last one was handed out, counting down", async () => {
    await report("a");
    const { leasesEndInMs } = await service().notice(busy(2, 1));
    expect(leasesEndInMs).toBeLessThanOrEqual(30_000);
    expect(leasesEndInMs).toBeGreaterThan(29_000);
    await report("b");
    await until(
      async () => (await service().notice(busy(2, 1))).leasesEndInMs,
      (ms) => ms < leasesEndInMs,
    );
  });

  test("with the cap that held when it was handed out", async () => {
    await report("a");
    await configure({ lease_cap_ms: 100 });
    expect((await service().notice(busy(2, 1))).leasesEndInMs).toBeGreaterThan(20_000);
  });

  test("anew for each epoch", async () => {
    await service().notice(busy(2, 1));
    await report("a");
    const handedOutAt = Date.now();
    const { leasesEndInMs } = await service().notice(busy(2, 2));
    expect(Date.now() + leasesEndInMs).toBeGreaterThanOrEqual(handedOutAt + 30_000 - 50);
  });
});

describe("the quota", () => {
  const limit = async (size: number) => {
    await system().setConfig("OPERATION_QUEUE", "max_queue_size", size, BY);
  };
  const wants = (shard: number, operations: number) =>
    service().notice(busy(shard, 1, { wanted: { operations, bytes: 1 }, usage: IDLE_USAGE }));

  test("of all shards together never exceeds max_queue_size, and calm gives it back", async () => {
    await limit(100);
    const granted: number[] = [];
    for (let shard = 0; shard < 8; shard += 1) granted.push((await wants(shard, 30)).quota.operations);
    expect(granted).toEqual([30, 30, 30, 10, 0, 0, 0, 0]);
    await calm(0, 1);
    expect((await wants(7, 30)).quota.operations).toBe(30);
  });

  test("comes in blocks, so that a shard that fills does not ask for every write", async () => {
    await limit(1_000);
    expect((await wants(0, 1)).quota.operations).toBe(15);
  });

  test("of a stale notice is what the shard holds", async () => {
    await limit(100);
    await service().notice(busy(3, 2, { wanted: { operations: 5, bytes: 1 } }));
    expect((await wants(3, 50)).quota.operations).toBe(5);
  });
});

describe("the drain budget", () => {
  const ask = (shard: number, said: Said = {}, ready = 1_000) =>
    service().drain({
      shard,
      ready,
      usage: { ...IDLE_USAGE, pending: ready },
      report: reportOf(`shard:${shard}`, said),
    });
  const closed = () =>
    until(allEvents, (all) =>
      all.some(({ event_data }) => event_data.circuit === "write" && event_data.to === "CLOSED"),
    );

  test("in health a shard gets all its connections at once", async () => {
    expect(await ask(0)).toMatchObject({ concurrency: 6, operations: 384 });
  });

  test("while the write circuit is open nothing drains; the shard asks again when it may be over", async () => {
    await configure({ circuit_breaker_timeout: 1_000 });
    await openWrites();
    const grant = await ask(0);
    expect(grant).toMatchObject({ concurrency: 0, operations: 0 });
    expect(grant.retryMs).toBeLessThanOrEqual(1_000);
    expect(grant.terms.circuits.write.state).toBe("OPEN");
  });

  test("an open read circuit does not hold writes", async () => {
    await service().setMode({ mode: "forced_open", circuits: ["read"], reason: "test" }, BY);
    expect((await ask(0)).concurrency).toBe(6);
  });

  test("while paused nothing drains", async () => {
    await service().setPaused(true, BY);
    expect(await ask(0)).toMatchObject({ concurrency: 0, retryMs: 5_000, terms: { paused: true } });
    await service().setPaused(false, BY);
    expect((await ask(0)).concurrency).toBe(6);
    expect((await allEvents()).map(({ event_type }) => event_type)).toEqual(["QUEUE_PAUSED", "QUEUE_RESUMED"]);
  });

  test("after the circuit closed it climbs by rounds of success, and falls by rounds of failure", async () => {
    await configure(FAST);
    await openWrites();
    await closed();
    expect(await ask(0)).toMatchObject({ concurrency: 1, operations: 8 });
    expect((await ask(1)).concurrency).toBe(0);
    expect((await ask(0, { write: { success: 8 } }, 0)).concurrency).toBe(0);
    expect((await ask(1)).concurrency).toBe(2);
    expect((await ask(1, { write: { success: 16 } })).concurrency).toBe(4);
    expect((await ask(1, { write: { success: 2, failure: 2 } })).concurrency).toBe(2);
  });

  test("a drained success is the evidence that writes work", async () => {
    const { terms } = await ask(0);
    await fail("all");
    const later = await ask(0, { write: { success: 1 } });
    expect(later.terms.lastWriteSuccessAt).toBeGreaterThan(terms.lastWriteSuccessAt ?? 0);
  });

  test("operations that wait are a service that recovers", async () => {
    await service().notice(busy(0, 1));
    expect((await service().overview()).record.status).toBe("RECOVERING");
    await ask(0, { write: { success: 1 } }, 0);
    expect((await service().overview()).record.status).toBe("HEALTHY");
  });
});

test("shard 0 is told the number of shards at first use, for isolates that come when the service's object is down", async () => {
  await until(
    () => queueStub(env, DEFAULT_SERVICE, 0).layout(),
    (layout) => layout?.shardCount === 8,
  );
});

test("a shard that does not exist is refused", async () => {
  const { quota } = await service().notice(busy(8, 1));
  expect(quota).toEqual({ operations: 0, bytes: 0 });
  expect(await shownTo("a")).toEqual([]);
});
