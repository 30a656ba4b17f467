/** What an outage looks like from outside, with the real objects: the promises of the README, one test each. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, expect, test } from "vitest";
import type { FailoverEnv } from "../../../src/shared/env";
import { shardName } from "../../../src/shared/keys";
import type { OperationRecord } from "../../../src/shared/records";
import { createIsolates, type Isolate } from "../model/isolates";
import { configureQueues, pause, TestService } from "../model/service";

let isolate: (service: string) => Isolate;
let other: (service: string) => Isolate;

beforeAll(async () => {
  // The isolates first: they load the library anew, and the objects with it.
  [isolate, other] = (await createIsolates(2)) as [typeof isolate, typeof other];
  await configureQueues();
});

let opened = 0;

/** A service of its own for each test: its objects start from nothing. */
function openService(config: Record<string, number> = {}): Promise<TestService> {
  opened += 1;
  return TestService.open(`ACCEPTANCE_${opened}`, [isolate, other], config);
}

async function until<T>(ask: () => Promise<T>, isWanted: (answer: T) => boolean, ms = 20_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (isWanted(answer)) return answer;
    if (Date.now() > end) throw new Error(`not within ${ms} ms; the last answer was ${JSON.stringify(answer)}`);
    await pause(20);
  }
}

const circuit = async (service: TestService, name: "read" | "write") =>
  (await service.service.overview()).record.circuits[name].state;

/** Operations of a key, oldest first, as `<type> <status>`. */
async function statuses(service: TestService, key: string): Promise<string[]> {
  const of = (await service.operations()).filter((operation) => operation.key === key);
  return of
    .sort((a, b) => a.created_at.localeCompare(b.created_at))
    .map((operation) => `${operation.operation_type} ${operation.status}`);
}

const shardObject = (service: TestService, key: string) =>
  env.QUEUE_DO.get(env.QUEUE_DO.idFromName(shardName(service.name, service.shardOf(key))));

const allFinal = (operations: readonly OperationRecord[]) => operations.every((found) => found.completed_at !== null);

/** An environment whose object calls are counted by class. The objects themselves have their own. */
function counting(calls: string[]): FailoverEnv {
  const counted = <N extends "SERVICE_DO" | "QUEUE_DO">(name: N): FailoverEnv[N] =>
    new Proxy<FailoverEnv[N]>(env[name], {
      get(target, property) {
        if (property === "get") calls.push(name);
        const value: unknown = Reflect.get(target, property);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  return { ...env, SERVICE_DO: counted("SERVICE_DO"), QUEUE_DO: counted("QUEUE_DO") };
}

test("with all writes failing, the circuit opens after five failures; then R2 sees probes only, and a put costs one object call", async () => {
  const { FailoverBucket } = await import("../../../src/bucket/failover-bucket");
  const { isolateState, refreshNow } = await import("../../../src/bucket/isolate-service");
  const service = await openService({ circuit_breaker_timeout: 2_000, lease_cap_ms: 30_000 });
  const calls: string[] = [];
  const bucket = new FailoverBucket(counting(calls), { service: service.name });
  await refreshNow(env, service.name);
  await service.setFaults([{ operations: "write", error_code: 10001 }]);
  await refreshNow(env, service.name);

  const writesAtR2 = () => isolateState(service.name).bucketCalls.put ?? 0;
  // Distinct keys, one at a time: no call is in flight when the fifth has failed.
  let reached = 0;
  for (let n = 0; n < 12; n += 1) {
    const before = writesAtR2();
    const outcome = await bucket.write(service.key(n), `value ${n}`);
    expect(outcome.kind).toBe("queued");
    if (writesAtR2() !== before) reached = n + 1;
  }
  expect(reached).toBeLessThanOrEqual(5);

  await until(
    () => circuit(service, "write"),
    (state) => state === "OPEN" || state === "HALF_OPEN",
  );
  await refreshNow(env, service.name);
  const { bucketCallsWhileOpen: before } = await service.service.overview();
  calls.length = 0;
  for (let n = 0; n < 40; n += 1) await bucket.put(service.key(n), `again ${n}`);
  const toQueue = calls.filter((name) => name === "QUEUE_DO").length;
  // Forty writes: forty calls to their shards, and at most a few reports beside them.
  expect(toQueue).toBe(40);
  expect(calls.length - toQueue).toBeLessThanOrEqual(5);
  await refreshNow(env, service.name);
  const { bucketCallsWhileOpen: after } = await service.service.overview();
  expect(after.isolates.write).toBe(before.isolates.write);
  expect(after.drain.write).toBe(before.drain.write);
  await service.heal();
  await service.drained(30_000);
});

test("with only writes failing, reads stay on R2 and the read circuit stays closed", async () => {
  const service = await openService();
  const [one] = service.isolates as [Isolate];
  await one.bounded.put(service.key(0), "in R2 before");
  await service.setFaults([{ operations: "write" }]);
  for (let n = 1; n < 12; n += 1) await one.bounded.put(service.key(n), "queued");
  await until(
    () => circuit(service, "write"),
    (state) => state === "OPEN" || state === "HALF_OPEN",
  );
  await service.refresh();
  for (let n = 0; n < 20; n += 1) {
    const found = await one.bounded.read(service.key(0));
    expect(found.source).toBe("primary");
    expect(await (found.object as R2ObjectBody).text()).toBe("in R2 before");
  }
  expect(await circuit(service, "read")).toBe("CLOSED");
  await service.heal();
  await service.drained(30_000);
});

test("two puts and a delete of one key end as one R2 write at most: SUPERSEDED, SUPERSEDED, COMPLETED", async () => {
  const service = await openService();
  const [one] = service.isolates as [Isolate];
  const key = service.key(0);
  await one.bounded.put(key, "before the outage");
  await service.setMode("forced_open");
  await one.bounded.put(key, "first");
  await pause(2);
  await one.bounded.put(key, "second");
  await pause(2);
  expect((await one.bounded.remove(key)).kind).toBe("queued");
  expect(await one.bounded.get(key)).toBeNull();
  const { bucketCalls: before } = await service.service.overview();
  await service.heal();
  await until(() => service.operations(), allFinal);
  expect(await statuses(service, key)).toEqual(["UPLOAD SUPERSEDED", "UPLOAD SUPERSEDED", "DELETE COMPLETED"]);
  expect(await env.R2_BUCKET.head(key)).toBeNull();
  await service.drained(20_000);
  const { bucketCalls: after } = await service.service.overview();
  expect(after.drain.write - before.drain.write).toBeLessThanOrEqual(1);
});

test("a direct write that is newer than a queued one survives the drain", async () => {
  const service = await openService();
  const [one] = service.isolates as [Isolate];
  const key = service.key(0);
  await service.setMode("forced_open");
  await one.bounded.put(key, "queued");
  await pause(5);
  // Somebody writes past the queue, as an isolate would whose snapshot is from before.
  await env.R2_BUCKET.put(key, "newer, direct");
  await service.heal();
  await until(() => service.operations(), allFinal);
  expect(await statuses(service, key)).toEqual(["UPLOAD SUPERSEDED"]);
  expect(await (await env.R2_BUCKET.get(key))?.text()).toBe("newer, direct");
  await service.drained(20_000);
});

test("a queued write comes after the same isolate's direct one, also when R2's clock is ahead of the objects'", async () => {
  const service = await openService();
  const [one] = service.isolates as [Isolate];
  const key = service.key(0);
  expect((await one.bounded.write(key, "direct")).kind).toBe("stored");
  await service.setMode("forced_open");
  expect((await one.bounded.write(key, "queued")).kind).toBe("queued");
  // As if R2 were a minute ahead: the direct write seems to be the later one.
  await runInDurableObject(shardObject(service, key), (_, { storage }) =>
    storage.sql.exec("UPDATE operation_queue SET fence_at = fence_at - 60000").toArray(),
  );
  await service.heal();
  await until(() => service.operations(), allFinal);
  expect(await statuses(service, key)).toEqual(["UPLOAD COMPLETED"]);
  expect(await (await env.R2_BUCKET.get(key))?.text()).toBe("queued");
  await service.drained(20_000);
});

test("a lost reply ends COMPLETED, and the bytes are not written twice", async () => {
  const service = await openService();
  const [one] = service.isolates as [Isolate];
  const key = service.key(0);
  await service.setFaults([{ operations: ["put"], lose_reply: true }]);
  const outcome = await one.bounded.write(key, "written once");
  expect(outcome.kind).toBe("queued");
  const version = (await env.R2_BUCKET.head(key))?.version;
  expect(version).toBeDefined();
  await service.heal();
  await until(() => service.operations(), allFinal);
  expect(await statuses(service, key)).toEqual(["UPLOAD COMPLETED"]);
  expect((await env.R2_BUCKET.head(key))?.version).toBe(version);
  await service.drained(20_000);
});

test("a write that lands late does not bury a newer acknowledged one", async () => {
  const service = await openService();
  const [one] = service.isolates as [Isolate];
  const key = service.key(0);
  // Given up after 80 ms; it reaches R2 long after, when the newer write is acknowledged.
  await service.setFaults([{ operations: ["put"], latency_ms: 700, land_late: true }]);
  const late = await one.bounded.write(key, "late");
  expect(late.kind).toBe("queued");
  await service.setFaults([]);
  const newer = await one.bounded.write(key, "newer");
  expect(newer.kind).toBe("queued");
  await pause(900);
  expect(await (await env.R2_BUCKET.get(key))?.text()).toBe("late");
  expect(await (await one.bounded.get(key))?.text()).toBe("newer");
  await service.heal();
  await until(() => service.operations(), allFinal);
  expect(await statuses(service, key)).toEqual(["UPLOAD SUPERSEDED", "UPLOAD COMPLETED"]);
  expect(await (await env.R2_BUCKET.get(key))?.text()).toBe("newer");
  await service.drained(20_000);
});

test("a queued operation does not give way to one that the queue itself applied before it", async () => {
  const service = await openService({ write_timeout_ms: 5_000 });
  const [one] = service.isolates as [Isolate];
  const key = service.key(0);
  await service.setMode("forced_open");
  await one.bounded.put(key, "first");
  // The drain's own put takes long, so that the next one is accepted before R2 has the first.
  await service.setFaults([{ operations: ["put"], latency_ms: 500 }]);
  await service.setMode("auto");
  await until(
    () => service.operations(),
    (found) => found.some(({ status }) => status === "PROCESSING"),
  );
  expect((await one.bounded.write(key, "second")).kind).toBe("queued");
  await service.heal();
  await until(() => service.operations(), allFinal);
  expect(await statuses(service, key)).toEqual(["UPLOAD COMPLETED", "UPLOAD COMPLETED"]);
  expect(await (await env.R2_BUCKET.get(key))?.text()).toBe("second");
  await service.drained(20_000);
});

test("a direct delete and a conditional put are ordered with what is pending", async () => {
  const service = await openService();
  const [one, two] = service.isolates as [Isolate, Isolate];
  const [gone, guarded] = [service.key(0), service.key(1)];
  await service.setMode("forced_open");
  await one.bounded.put(gone, "queued");
  await one.bounded.put(guarded, "queued");
  const etag = (await one.bounded.head(guarded))?.etag ?? "";
  await service.setPaused(true);
  await service.setMode("auto");
  // R2 is well again, but these keys are not its own yet.
  expect((await two.bounded.remove(gone)).kind).toBe("queued");
  expect(await two.bounded.put(guarded, "no", { onlyIf: { etagDoesNotMatch: etag } })).toBeNull();
  expect(await two.bounded.put(guarded, "yes", { onlyIf: { etagMatches: etag } })).not.toBeNull();
  expect(await two.strong.get(gone)).toBeNull();
  await service.setPaused(false);
  await service.heal();
  await until(() => service.operations(), allFinal);
  expect(await env.R2_BUCKET.head(gone)).toBeNull();
  expect(await (await env.R2_BUCKET.get(guarded))?.text()).toBe("yes");
  await service.drained(20_000);
});

test("a poison operation ends FAILED and readable, others drain past it, the circuit stays closed; redrive completes it", async () => {
  const service = await openService({ max_retries: 2, health_check_interval: 1_000 });
  const [one] = service.isolates as [Isolate];
  await service.setMode("forced_open");
  const poison = service.key(0);
  await service.setFaults([{ operations: ["put"], key_prefix: poison }]);
  await one.bounded.put(poison, "poison");
  for (let n = 1; n < 8; n += 1) await one.bounded.put(service.key(n), `healthy ${n}`);
  await service.setMode("auto");
  await service.refresh();
  const operations = await until(
    () => service.operations(),
    (found) => found.every(({ status }) => status === "COMPLETED" || status === "FAILED"),
  );
  expect(operations.filter(({ status }) => status === "FAILED").map(({ key }) => key)).toEqual([poison]);
  expect(await circuit(service, "write")).toBe("CLOSED");
  expect(await (await one.bounded.get(poison))?.text()).toBe("poison");

  await service.setFaults([]);
  await service.queue(service.shardOf(poison)).redrive(false, { actor: "test", requestId: "redrive" });
  await service.drained(20_000);
  expect(await statuses(service, poison)).toEqual(["UPLOAD COMPLETED"]);
  expect(await (await env.R2_BUCKET.get(poison))?.text()).toBe("poison");
});

test("in an outage with a single writer no operation is charged an attempt", async () => {
  const service = await openService({ health_check_interval: 1_000 });
  const [one] = service.isolates as [Isolate];
  await service.setFaults([{ operations: "write" }]);
  const outcome = await one.bounded.write(service.key(0), "alone");
  if (outcome.kind !== "queued") throw new Error("R2 took the write");
  await pause(3_000);
  const tried = await service.queue(service.shardOf(service.key(0))).operation(outcome.operation.operationId);
  expect(tried).toMatchObject({ status: "PENDING", retry_count: 0 });
  expect(tried?.error_message).toMatch(/\(10001\)$/);
  await service.heal();
  await service.drained(20_000);
  expect(await statuses(service, service.key(0))).toEqual(["UPLOAD COMPLETED"]);
});
