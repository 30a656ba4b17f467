/** Multipart uploads over HTTP, in health and in an outage. */
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { OperationRecord } from "../../../src/shared/records";
import { bytes, isSame, MIB } from "../queue/support";
import { asAdmin, asGateway, verdict } from "./client";

const FIRST = bytes(5 * MIB, 1);
const LAST = new TextEncoder().encode("the end");
const FAULTS = "/health/services/R2_STORAGE/faults";

const etagOf = async (...parts: Uint8Array[]) => {
  const digest = async (of: Uint8Array) => new Uint8Array(await crypto.subtle.digest("MD5", of));
  const md5s = await Promise.all(parts.map(digest));
  const joined = await digest(new Uint8Array(await new Blob(md5s).arrayBuffer()));
  return `${Array.from(joined, (byte) => byte.toString(16).padStart(2, "0")).join("")}-${parts.length}`;
};

interface Part {
  part_number: number;
  etag: string;
}

async function begin(key: string, headers: Record<string, string> = {}): Promise<string> {
  const response = await asGateway("POST", `/r2/${key}?uploads`, { headers });
  expect(response.status).toBe(200);
  const body = await response.json<{ key: string; upload_id: string }>();
  expect(body).toEqual({ key: decodeURIComponent(key), upload_id: expect.any(String) });
  return encodeURIComponent(body.upload_id);
}

async function upload(key: string, uploadId: string, number: number, body: Uint8Array): Promise<Part> {
  const headers = { "content-length": String(body.byteLength) };
  const response = await asGateway("PUT", `/r2/${key}?partNumber=${number}&uploadId=${uploadId}`, { body, headers });
  expect(response.status).toBe(200);
  const part = await response.json<Part>();
  expect(part).toEqual({ part_number: number, etag: expect.any(String) });
  return part;
}

const complete = (key: string, uploadId: string, parts: Part[], headers: Record<string, string> = {}) =>
  asGateway("POST", `/r2/${key}?uploadId=${uploadId}`, { json: { parts }, headers });

test("an upload in health: begun, its parts, and completed as a PUT is answered", async () => {
  const key = "big%20file.bin";
  const uploadId = await begin(key, { "content-type": "text/x-parts", "x-amz-meta-owner": "Zoë" });
  const last = await upload(key, uploadId, 2, LAST);
  const first = await upload(key, uploadId, 1, FIRST);
  const response = await complete(key, uploadId, [first, last]);
  const etag = await etagOf(FIRST, LAST);
  const object = await env.R2_BUCKET.head("big file.bin");
  expect(response.status).toBe(200);
  expect(response.headers.get("etag")).toBe(`"${etag}"`);
  expect(await response.json()).toEqual({
    ...{ success: true, queued: false, key: "big file.bin", etag },
    size: FIRST.byteLength + LAST.byteLength,
    version: object?.version,
  });
  expect(object).toMatchObject({ httpMetadata: { contentType: "text/x-parts" }, customMetadata: { owner: "Zoë" } });
});

test("an abort answers 204, and again; then nothing can be added", async () => {
  const uploadId = await begin("aborted");
  await upload("aborted", uploadId, 1, LAST);
  const path = `/r2/aborted?uploadId=${uploadId}`;
  expect(await verdict(await asGateway("DELETE", path))).toBe("204");
  expect(await verdict(await asGateway("DELETE", path))).toBe("204");
  const part = await asGateway("PUT", `/r2/aborted?partNumber=1&uploadId=${uploadId}`, { body: "x" });
  expect(await part.json()).toMatchObject({ status: 404, code: "R2_ERROR", r2_code: 10024 });
});

test.each([
  ["a part that is not there", [{ part_number: 3, etag: "x" }], 10025],
  [
    "a part that is too small, and not the last",
    [
      { part_number: 2, etag: "" },
      { part_number: 1, etag: "" },
    ],
    10011,
  ],
])("a completion with %s is R2's error", async (_, named, code) => {
  const uploadId = await begin("wrong");
  const parts = [await upload("wrong", uploadId, 1, FIRST), await upload("wrong", uploadId, 2, LAST)];
  const etags = named.map((part) => ({ ...part, etag: parts[part.part_number - 1]?.etag ?? part.etag }));
  const response = await complete("wrong", uploadId, etags);
  expect(await response.json()).toMatchObject({ status: 400, code: "R2_ERROR", r2_code: code });
});

test("a part that breaks midway is the caller's fault, and counts for nothing", async () => {
  const uploadId = await begin("broken");
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array(10)),
    pull: (controller) => controller.error(new Error("the client is gone")),
  });
  const headers = { "content-length": String(4 * MIB) };
  const response = await asGateway("PUT", `/r2/broken?partNumber=1&uploadId=${uploadId}`, { body, headers });
  expect(await verdict(response)).toBe("400 INVALID_REQUEST");
});

describe("in an outage", () => {
  beforeEach(async () => {
    await asAdmin("POST", "/health/queue/pause");
    await asAdmin("PUT", FAULTS, { json: { faults: [{ operations: "write" }] } });
  });

  afterEach(async () => {
    await asAdmin("DELETE", FAULTS);
    await asAdmin("POST", "/health/queue/resume");
  });

  test("an upload is queued as a whole: 202 with its operation, and read at once, in ranges too", async () => {
    const uploadId = await begin("out.bin", { "content-type": "text/x-parts" });
    const first = await upload("out.bin", uploadId, 1, FIRST);
    const last = await upload("out.bin", uploadId, 2, LAST);
    const headers = { "idempotency-key": "once", "x-failover-priority": "2" };
    const response = await complete("out.bin", uploadId, [first, last], headers);
    const etag = await etagOf(FIRST, LAST);
    const size = FIRST.byteLength + LAST.byteLength;
    expect(response.status).toBe(202);
    const body = await response.json<{ operation_id: string }>();
    expect(body).toEqual({
      ...{ success: false, queued: true, operation_id: expect.stringMatching(/-once$/), key: "out.bin", etag, size },
    });
    expect(response.headers.get("location")).toBe(`/health/queue/operations/${body.operation_id}`);
    const operation = await (await asGateway("GET", `/health/queue/operations/${body.operation_id}`)).json();
    const expected: Partial<OperationRecord> = { operation_type: "MULTIPART_UPLOAD", status: "PENDING", priority: 2 };
    expect(operation).toMatchObject({ ...expected, key: "out.bin", etag, size });

    // Sent again, it is the same operation.
    const again = await complete("out.bin", uploadId, [first, last], headers);
    expect(await again.json()).toEqual(body);

    const whole = await asGateway("GET", "/r2/out.bin");
    expect(Object.fromEntries(whole.headers)).toMatchObject({
      etag: `"${etag}"`,
      "content-type": "text/x-parts",
      "x-failover-source": "queue",
    });
    expect(isSame(await whole.bytes(), new Uint8Array(await new Blob([FIRST, LAST]).arrayBuffer()))).toBe(true);
    const range = await asGateway("GET", "/r2/out.bin", { headers: { range: `bytes=${FIRST.byteLength}-` } });
    expect([range.status, await range.text()]).toEqual([206, "the end"]);
    const payload = await asAdmin("GET", `/health/queue/operations/${body.operation_id}/payload`);
    expect((await payload.bytes()).byteLength).toBe(size);
  });

  test("an object whose parts lie in R2 cannot be read before R2 has completed it: 503 with Retry-After", async () => {
    await asAdmin("DELETE", FAULTS);
    const uploadId = await begin("parts-in-r2");
    const part = await upload("parts-in-r2", uploadId, 1, LAST);
    await asAdmin("PUT", FAULTS, { json: { faults: [{ operations: ["complete"] }] } });
    expect((await complete("parts-in-r2", uploadId, [part])).status).toBe(202);
    const response = await asGateway("GET", "/r2/parts-in-r2");
    expect(response.headers.get("retry-after")).toMatch(/^\d+$/);
    expect(await verdict(response)).toBe("503 SERVICE_UNAVAILABLE");
    expect((await asGateway("HEAD", "/r2/parts-in-r2")).headers.get("content-length")).toBe("7");
  });

  test("an abort is 204 too", async () => {
    const uploadId = await begin("out-aborted");
    await upload("out-aborted", uploadId, 1, LAST);
    expect(await verdict(await asGateway("DELETE", `/r2/out-aborted?uploadId=${uploadId}`))).toBe("204");
  });
});
