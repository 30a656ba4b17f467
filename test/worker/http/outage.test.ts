import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { shardName } from "../../../src/shared/keys";
import type { ObjectListRecord, OperationRecord } from "../../../src/shared/records";
import { asAdmin, asGateway, send, verdict } from "./client";

const FAULTS = "/health/services/R2_STORAGE/faults";
const cut = (operations: unknown) => asAdmin("PUT", FAULTS, { json: { faults: [{ operations }] } });

interface Accepted {
  operation_id: string;
  key: string;
  etag: string | null;
  size: number;
}

async function queuedPut(path: string, body: string, headers: Record<string, string> = {}): Promise<Accepted> {
  const response = await asGateway("PUT", path, { body, headers });
  expect(response.status).toBe(202);
  return response.json();
}

const operation = async (id: string) =>
  (await asAdmin("GET", `/health/queue/operations/${id}`)).json<OperationRecord>();

// Paused, so that nothing drains behind a test's back.
beforeEach(async () => {
  await asAdmin("POST", "/health/queue/pause");
  await cut("write");
});

afterEach(async () => {
  await asAdmin("DELETE", FAULTS);
  await asAdmin("POST", "/health/queue/resume");
});

test("a PUT that R2 refuses is queued: 202 with its operation and where to look", async () => {
  const response = await asGateway("PUT", "/r2/out/one.txt", { body: "one" });
  expect(response.status).toBe(202);
  const body = await response.json<Accepted & { success: boolean; queued: boolean }>();
  expect(body).toEqual({
    success: false,
    queued: true,
    operation_id: expect.stringMatching(/^\d+-[0-9a-f]{8}-/),
    key: "out/one.txt",
    etag: "f97c5d29941bfb1b2fdab0874906ab82",
    size: 3,
  });
  expect(response.headers.get("location")).toBe(`/health/queue/operations/${body.operation_id}`);
  const found = await asGateway("GET", response.headers.get("location") ?? "");
  expect(await found.json()).toMatchObject({ operation_id: body.operation_id, key: "out/one.txt", status: "PENDING" });
});

test("a queued write is read at once, from the queue, with its headers", async () => {
  await queuedPut("/r2/out/read.txt", "0123456789", { "content-type": "text/plain", "x-amz-meta-a": "1" });
  const response = await asGateway("GET", "/r2/out/read.txt");
  expect(await response.text()).toBe("0123456789");
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "x-failover-source": "queue",
    "content-type": "text/plain",
    "x-amz-meta-a": "1",
    etag: '"781e5e245d69b566979b86e28d23f2c7"',
  });
  const part = await asGateway("GET", "/r2/out/read.txt", { headers: { range: "bytes=2-4" } });
  expect([part.status, await part.text(), part.headers.get("content-range")]).toEqual([206, "234", "bytes 2-4/10"]);
  const beyond = await asGateway("GET", "/r2/out/read.txt", { headers: { range: "bytes=10-" } });
  expect(await verdict(beyond)).toBe("416 RANGE_NOT_SATISFIABLE");
  const head = await asGateway("HEAD", "/r2/out/read.txt");
  expect([head.status, head.headers.get("content-length"), head.headers.get("x-failover-source")]).toEqual([
    200,
    "10",
    "queue",
  ]);
  const fresh = await asGateway("GET", "/r2/out/read.txt", {
    headers: { "if-none-match": response.headers.get("etag") ?? "" },
  });
  expect(fresh.status).toBe(304);
});

test("a queued delete is a 202 without an etag, and the object is gone at once", async () => {
  await env.R2_BUCKET.put("out/gone", "still in R2");
  const response = await asGateway("DELETE", "/r2/out/gone");
  expect(response.status).toBe(202);
  expect(await response.json()).toMatchObject({ success: false, queued: true, key: "out/gone", etag: null, size: 0 });
  expect(await verdict(await asGateway("GET", "/r2/out/gone"))).toBe("404 NOT_FOUND");
});

test("an Idempotency-Key names one operation: again the same answer, with another payload 409", async () => {
  const headers = { "idempotency-key": "upload-1" };
  const first = await queuedPut("/r2/out/once", "same", headers);
  const second = await queuedPut("/r2/out/once", "same", headers);
  expect(second.operation_id).toBe(first.operation_id);
  expect(first.operation_id).toMatch(/-upload-1$/);
  const other = await asGateway("PUT", "/r2/out/once", { body: "other", headers });
  expect(await verdict(other)).toBe("409 OPERATION_ID_REUSED");
});

test("the priority of the request is the operation's", async () => {
  const { operation_id } = await queuedPut("/r2/out/urgent", "x", { "x-failover-priority": "1" });
  expect((await operation(operation_id)).priority).toBe(1);
});

test("the payload of an operation is given to an operator, byte for byte, and the reading is recorded", async () => {
  const { operation_id } = await queuedPut("/r2/out/payload", "the bytes");
  const headers = { "x-request-id": "payload-reading" };
  const response = await asAdmin("GET", `/health/queue/operations/${operation_id}/payload`, { headers });
  expect(await response.text()).toBe("the bytes");
  const { events } = await (await asAdmin("GET", "/health/events")).json<{ events: Record<string, unknown>[] }>();
  expect(events).toContainEqual(
    expect.objectContaining({
      event_type: "OPERATION_PAYLOAD_READ",
      event_data: { actor: "admin", request_id: "payload-reading", operation_id },
    }),
  );
});

test("an empty object has an empty payload, a delete has none", async () => {
  const put = await queuedPut("/r2/out/empty", "");
  const payload = await asAdmin("GET", `/health/queue/operations/${put.operation_id}/payload`);
  expect([payload.status, await payload.text()]).toEqual([200, ""]);
  const { operation_id } = await (await asGateway("DELETE", "/r2/out/empty-too")).json<Accepted>();
  expect(await verdict(await asAdmin("GET", `/health/queue/operations/${operation_id}/payload`))).toBe("404 NOT_FOUND");
});

test("a cancelled operation is final: again is 409, and its write is gone", async () => {
  const { operation_id } = await queuedPut("/r2/out/cancelled", "never");
  const path = `/health/queue/operations/${operation_id}/cancel`;
  expect(await (await asAdmin("POST", path)).json()).toMatchObject({ operation_id, status: "CANCELLED" });
  expect(await verdict(await asAdmin("POST", path))).toBe("409 OPERATION_FINAL");
  expect(await verdict(await asAdmin("POST", `/health/queue/operations/${operation_id}/retry`))).toBe(
    "409 OPERATION_FINAL",
  );
  expect(await verdict(await asGateway("GET", "/r2/out/cancelled"))).toBe("404 NOT_FOUND");
});

test("operations of all shards are listed newest first, in pages without gap or double", async () => {
  const made: string[] = [];
  for (let n = 0; n < 7; n += 1) made.push((await queuedPut(`/r2/out/list/${n}`, `${n}`)).operation_id);
  const seen: string[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const query = `status=PENDING&limit=3${cursor === "" ? "" : `&cursor=${cursor}`}`;
    const response = await asAdmin("GET", `/health/queue/operations?${query}`);
    const page = await response.json<{ operations: OperationRecord[]; cursor: string | null }>();
    expect(page.operations.length).toBeLessThanOrEqual(3);
    seen.push(...page.operations.map(({ operation_id }) => operation_id));
    cursor = page.cursor;
  }
  expect(seen.filter((id) => made.includes(id))).toEqual(made.toReversed());
  expect(new Set(seen).size).toBe(seen.length);
});

test("operations are found by key", async () => {
  const { operation_id } = await queuedPut("/r2/out/by%20key", "x");
  const response = await asAdmin("GET", "/health/queue/operations?key=out%2Fby%20key");
  const { operations } = await response.json<{ operations: OperationRecord[] }>();
  expect(operations.map((found) => found.operation_id)).toEqual([operation_id]);
});

describe("what the public sees of an outage", () => {
  test("are counts: no shard, key, reason or operation", async () => {
    await queuedPut("/r2/out/secret-key", "x");
    await asAdmin("POST", "/health/services/R2_STORAGE/degrade", { json: { reason: "secret reason" } });
    for (const path of [
      "/health/queue/status",
      "/health/status",
      "/health/services",
      "/health/services/R2_STORAGE",
      "/health/events",
    ]) {
      const text = await (await send("GET", path)).text();
      expect(text).not.toMatch(/secret/);
      expect(text).not.toMatch(/"shards"|operation_id":|request_id/);
    }
    const detailed = await (await asAdmin("GET", "/health/services/R2_STORAGE")).text();
    expect(detailed).toContain("secret reason");
    await asAdmin("POST", "/health/services/R2_STORAGE/recover");
  });

  test("the queue's status adds up over the shards, which only a token sees", async () => {
    await queuedPut("/r2/out/counted", "12345");
    const open = await (await send("GET", "/health/queue/status")).json<Record<string, number>>();
    expect(open.pending).toBeGreaterThan(0);
    expect(open).toMatchObject({ paused: true, unreachable_shards: 0, total_size: open.pending });
    const { shards } = await (await asAdmin("GET", "/health/queue/status")).json<{
      shards: { pending: number; reachable: boolean }[];
    }>();
    expect(shards).toHaveLength(8);
    expect(shards.reduce((sum, { pending }) => sum + pending, 0)).toBe(open.pending);
  });
});

test("with the queue's objects out of reach a write that R2 refuses is refused: 503 with Retry-After", async () => {
  const dead = {
    idFromName: (name: string) => env.QUEUE_DO.idFromName(shardName(name, 0)),
    get: () => {
      throw new Error("the object cannot be reached");
    },
  } as unknown as typeof env.QUEUE_DO;
  const response = await asGateway("PUT", "/r2/out/refused", { body: "x", env: { QUEUE_DO: dead } });
  expect(response.headers.get("retry-after")).toMatch(/^\d+$/);
  expect(await verdict(response)).toBe("503 SERVICE_UNAVAILABLE");
});

describe("a list", () => {
  beforeEach(async () => {
    for (const key of ["kept", "over", "gone"]) await env.R2_BUCKET.put(`list/${key}`, "old");
    await queuedPut("/r2/list/over", "newer", { "content-type": "text/x", "x-amz-meta-a": "1" });
    await queuedPut("/r2/list/new/one", "1");
    await asGateway("DELETE", "/r2/list/gone");
  });

  test("has what is queued beside what R2 holds", async () => {
    const query = "prefix=list/&delimiter=/&include=http_metadata,custom_metadata";
    const response = await asGateway("GET", `/r2/?${query}`);
    expect(response.headers.get("x-failover-source")).toBe("merged");
    const { objects, delimited_prefixes } = await response.json<ObjectListRecord>();
    expect(objects.map(({ key, size }) => [key, size])).toEqual([
      ["list/kept", 3],
      ["list/over", 5],
    ]);
    expect(objects[1]).toMatchObject({ http_metadata: { content_type: "text/x" }, custom_metadata: { a: "1" } });
    expect(delimited_prefixes).toEqual(["list/new/"]);
  });

  test("without R2 is 503 with Retry-After, unless it may be partial", async () => {
    await cut("all");
    const refused = await asGateway("GET", "/r2/?prefix=list/");
    expect(refused.headers.get("retry-after")).toMatch(/^\d+$/);
    expect(await verdict(refused)).toBe("503 SERVICE_UNAVAILABLE");
    const partial = await asGateway("GET", "/r2/?prefix=list/&allow_partial=true");
    expect(partial.headers.get("x-failover-source")).toBe("queue");
    const { objects, partial: isPartial } = await partial.json<ObjectListRecord>();
    expect([objects.map(({ key }) => key), isPartial]).toEqual([["list/new/one", "list/over"], true]);
  });
});
