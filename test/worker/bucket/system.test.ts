import { env } from "cloudflare:workers";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { FailoverBucket } from "../../../src/bucket/failover-bucket";
import { adoptSnapshot, resetIsolate } from "../../../src/bucket/isolate-service";
import { queueStub, serviceStub } from "../../../src/bucket/stubs";
import { shardOfOperation } from "../../../src/shared/keys";
import type { FaultRule, Stored } from "../../../src/shared/protocol";
import { md5Of, pattern, sourceOf } from "./world";

/** With the real objects and the real (local) R2. */
const BY = { actor: "test", requestId: "test" };
const MIB = 1024 * 1024;
let bucket: FailoverBucket;

async function setFaults(...faults: FaultRule[]) {
  const answer = await serviceStub(env, "R2_STORAGE").setFaults(faults, BY);
  if (!answer.ok) throw new Error(answer.message);
  adoptSnapshot(answer.snapshot);
}

async function queuedPut(key: string, value: string): Promise<Stored> {
  const outcome = await bucket.write(key, value);
  return outcome.kind === "queued" ? outcome.operation : expect.fail(`the put of ${key} was ${outcome.kind}`);
}

const statusOf = async (operationId: string) => {
  const stub = queueStub(env, "R2_STORAGE", shardOfOperation(operationId) ?? 0);
  return (await stub.operation(operationId))?.status;
};

const directly = async (key: string) => {
  const object = await env.R2_BUCKET.get(key);
  return object === null ? null : await object.text();
};

beforeAll(async () => {
  // A queued delete waits until no isolate can have missed it: a lease, and the longest write.
  const system = env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system"));
  for (const [key, value] of [
    ["lease_cap_ms", 500],
    ["write_timeout_ms", 2_000],
  ] as const) {
    expect(await system.setConfig("R2_STORAGE", key, value, BY)).toMatchObject({ ok: true });
  }
});
beforeEach(() => {
  resetIsolate();
  bucket = new FailoverBucket(env);
});
afterAll(() => setFaults());

describe("an outage of writes", () => {
  test("survived: written, overwritten, deleted, read back at once, and all in R2 afterwards", async () => {
    await bucket.put("before", "old");
    await bucket.put("doomed", "old");
    const large = pattern(3 * MIB);

    await setFaults({ operations: "write" });
    expect((await bucket.write("new", "1", { customMetadata: { a: "1" } })).kind).toBe("queued");
    expect((await bucket.write("before", "new")).kind).toBe("queued");
    expect((await bucket.write("large", sourceOf(large, 100_000), { size: large.byteLength })).kind).toBe("queued");
    expect((await bucket.remove("doomed")).kind).toBe("queued");

    expect(await (await bucket.get("new"))?.text()).toBe("1");
    expect(await (await bucket.get("before"))?.text()).toBe("new");
    expect(await (await bucket.get("before", { range: { suffix: 2 } }))?.text()).toBe("ew");
    expect(await md5Of((await (await bucket.get("large"))?.bytes()) ?? new Uint8Array())).toBe(await md5Of(large));
    expect(await bucket.get("doomed")).toBeNull();
    expect([await directly("new"), await directly("before"), await directly("doomed")]).toEqual([null, "old", "old"]);

    const told = await bucket.head("new");
    await setFaults();
    await expect.poll(() => directly("new"), { timeout: 20_000 }).toBe("1");
    await expect.poll(() => directly("before"), { timeout: 20_000 }).toBe("new");
    await expect.poll(() => directly("doomed"), { timeout: 20_000 }).toBeNull();
    await expect.poll(async () => (await env.R2_BUCKET.head("large"))?.size, { timeout: 20_000 }).toBe(3 * MIB);
    expect(await env.R2_BUCKET.head("new")).toMatchObject({ etag: told?.etag, customMetadata: { a: "1" } });
    expect(await md5Of((await (await env.R2_BUCKET.get("large"))?.bytes()) ?? new Uint8Array())).toBe(
      await md5Of(large),
    );
  }, 120_000);

  test("a lost reply ends as the one write that it was", async () => {
    await setFaults({ operations: ["put"], lose_reply: true });
    const { operationId } = await queuedPut("lost", "mine");
    expect(await (await bucket.get("lost"))?.text()).toBe("mine");
    const landed = await env.R2_BUCKET.head("lost");
    await setFaults();
    await expect.poll(() => statusOf(operationId), { timeout: 30_000 }).toBe("COMPLETED");
    expect((await env.R2_BUCKET.head("lost"))?.version).toBe(landed?.version);
  }, 60_000);

  test("a direct write that came after the queued one is read at once, and survives the drain", async () => {
    await setFaults({ operations: ["put"] });
    const { operationId } = await queuedPut("overtaken", "queued");
    await env.R2_BUCKET.put("overtaken", "direct");
    expect(await (await bucket.get("overtaken"))?.text()).toBe("direct");
    await setFaults();
    await expect.poll(() => statusOf(operationId), { timeout: 30_000 }).toBe("SUPERSEDED");
    expect(await directly("overtaken")).toBe("direct");
  }, 60_000);

  test("create-only and if-match puts are decided on what is queued", async () => {
    await setFaults({ operations: ["put"] });
    const { etag } = await bucket.put("cond", "1");
    expect(await bucket.put("cond", "2", { onlyIf: { etagDoesNotMatch: "*" } })).toBeNull();
    expect(await bucket.put("cond", "2", { onlyIf: { etagMatches: "0".repeat(32) } })).toBeNull();
    expect(await bucket.put("cond", "3", { onlyIf: { etagMatches: etag } })).toMatchObject({ queued: true });
    expect(await (await bucket.get("cond"))?.text()).toBe("3");
    await setFaults();
    await expect.poll(() => directly("cond"), { timeout: 20_000 }).toBe("3");
  }, 60_000);
});

test("the same operation id again is the same write; with another payload it is refused", async () => {
  await setFaults({ operations: ["put"] });
  const first = await bucket.write("idempotent", "1", { operationId: "once" });
  const again = await bucket.write("idempotent", "1", { operationId: "once" });
  expect(again).toMatchObject({
    kind: "queued",
    operation: { operationId: first.kind === "queued" && first.operation.operationId },
  });
  await expect(bucket.write("idempotent", "2", { operationId: "once" })).rejects.toMatchObject({
    code: "OPERATION_ID_REUSED",
  });
  await setFaults();
}, 60_000);

test("a wrong checksum is R2's error in an outage too, and nothing is queued", async () => {
  await setFaults({ operations: ["put"] });
  await expect(bucket.put("digest", "x", { md5: "0".repeat(32) })).rejects.toThrow(/\(10037\)$/);
  expect(await bucket.get("digest")).toBeNull();
  await setFaults();
});
