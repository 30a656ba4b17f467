import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { handle } from "../../../src/http/router";
import type { WorkerEnv } from "../../../src/shared/env";
import { asAdmin, asGateway, type Sent, send, verdict } from "./client";

const LONG_KEY = "k".repeat(1_025);
const SERVICE = "/health/services/R2_STORAGE";
/** An upload id as the queue makes them, of an upload that is not there. */
const QUEUED = "queued-00000000-0000-4000-8000-000000000000";
const PART = { part_number: 1, etag: "e" };
const BIG_JSON = JSON.stringify({ reason: "r".repeat(64 * 1024) });

type Row = [method: string, path: string, sent: Sent, expected: string];

const gatewayRows: Row[] = [
  ["PUT", "/r2/", { body: "x" }, "400 INVALID_REQUEST"],
  ["DELETE", "/r2/", {}, "400 INVALID_REQUEST"],
  ["PUT", `/r2/${LONG_KEY}`, { body: "x" }, "400 INVALID_REQUEST"],
  ["GET", `/r2/${LONG_KEY}`, {}, "400 INVALID_REQUEST"],
  ["PUT", "/r2/a%zz", { body: "x" }, "400 INVALID_REQUEST"],
  ["GET", "/r2/%ff", {}, "400 INVALID_REQUEST"],
  ["PUT", "/r2/.r2-failover/canary-0", { body: "x" }, "400 INVALID_REQUEST"],
  ["GET", "/r2/.r2-failover/canary-0", {}, "400 INVALID_REQUEST"],
  ["DELETE", "/r2/%2Er2-failover/canary-0", {}, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad", { body: "x", headers: { "x-failover-priority": "0" } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad", { body: "x", headers: { "x-failover-priority": "11" } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad", { body: "x", headers: { "x-failover-priority": "x" } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad", { body: "x", headers: { "x-failover-priority": "1.5" } }, "400 INVALID_REQUEST"],
  ["DELETE", "/r2/bad", { headers: { "x-failover-priority": "-1" } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad", { body: "x", headers: { "idempotency-key": "a b" } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad", { body: "x", headers: { "idempotency-key": "k".repeat(129) } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad", { body: "x", headers: { "content-md5": "nonsense" } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad", { body: "x", headers: { "content-md5": "AAAAAAAAAAAAAAAAAAAAAA==" } }, "400 R2_ERROR"],
  ["PUT", "/r2/bad", { body: "x", headers: { "if-match": "unquoted" } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad", { body: "x", headers: { "if-match": '"none"' } }, "412 PRECONDITION_FAILED"],
  ["PUT", "/r2/bad", { body: "x", headers: { expires: "soon" } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad", { body: "x", headers: { "content-range": "bytes 0-0/9" } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad", { body: "x", headers: { "x-amz-meta-big": "m".repeat(8_300) } }, "400 R2_ERROR"],
  ["DELETE", "/r2/bad", { headers: { "if-match": '"a"' } }, "400 INVALID_REQUEST"],
  ["GET", "/r2/bad", { headers: { "if-none-match": "unquoted" } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad?service=NOPE", { body: "x" }, "404 UNKNOWN_SERVICE"],
  ["GET", "/r2/bad?service=", {}, "404 UNKNOWN_SERVICE"],
  ["POST", "/r2/bad", { body: "x" }, "400 INVALID_REQUEST"],
  ["POST", `/r2/${LONG_KEY}?uploads`, {}, "400 INVALID_REQUEST"],
  ["POST", "/r2/.r2-failover/canary-0?uploads", {}, "400 INVALID_REQUEST"],
  ["POST", "/r2/bad?uploads&uploadId=u", {}, "400 INVALID_REQUEST"],
  ["POST", "/r2/bad?uploads&service=NOPE", {}, "404 UNKNOWN_SERVICE"],
  ["POST", "/r2/bad?uploads", { headers: { "if-match": '"a"' } }, "400 INVALID_REQUEST"],
  ["POST", "/r2/bad?uploads", { headers: { "x-amz-meta-big": "m".repeat(8_300) } }, "400 R2_ERROR"],
  ["PUT", "/r2/bad?uploads", { body: "x" }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad?uploadId=u", { body: "x" }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad?partNumber=1", { body: "x" }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad?partNumber=1&uploadId=", { body: "x" }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad?partNumber=0&uploadId=u", { body: "x" }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad?partNumber=10001&uploadId=u", { body: "x" }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad?partNumber=one&uploadId=u", { body: "x" }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad?partNumber=&uploadId=u", { body: "x" }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad?partNumber=1&uploadId=u", { headers: { "content-md5": "x" } }, "400 INVALID_REQUEST"],
  ["PUT", "/r2/bad?partNumber=1&uploadId=u", { body: "x" }, "404 R2_ERROR"],
  ["POST", "/r2/bad?uploadId=u", {}, "400 INVALID_REQUEST"],
  ["POST", "/r2/bad?uploadId=u", { body: "{" }, "400 INVALID_REQUEST"],
  ["POST", "/r2/bad?uploadId=u", { json: { parts: [] } }, "400 INVALID_REQUEST"],
  ["POST", "/r2/bad?uploadId=u", { json: { parts: [{ part_number: 0, etag: "e" }] } }, "400 INVALID_REQUEST"],
  ["POST", "/r2/bad?uploadId=u", { json: { parts: [{ part_number: 1 }] } }, "400 INVALID_REQUEST"],
  ["POST", "/r2/bad?uploadId=u", { json: { parts: [PART, PART] } }, "400 INVALID_REQUEST"],
  ["POST", "/r2/bad?uploadId=u", { json: { parts: [PART], more: 1 } }, "400 INVALID_REQUEST"],
  ["POST", "/r2/bad?uploadId=u", { body: " ".repeat(4 * 1024 * 1024 + 1) }, "413 PAYLOAD_TOO_LARGE"],
  ["POST", "/r2/bad?uploadId=u&partNumber=1", { json: { parts: [PART] } }, "400 INVALID_REQUEST"],
  ["POST", `/r2/bad?uploadId=${QUEUED}`, { json: { parts: [PART] } }, "404 R2_ERROR"],
  ["PUT", `/r2/bad?partNumber=1&uploadId=${QUEUED}`, { body: "x" }, "404 R2_ERROR"],
  ["DELETE", "/r2/bad?uploads", {}, "400 INVALID_REQUEST"],
  ["DELETE", "/r2/bad?uploadId=", {}, "400 INVALID_REQUEST"],
  ["DELETE", "/r2/bad?uploadId=u&partNumber=1", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/bad?uploads", {}, "404 NOT_FOUND"],
  ["GET", "/r2/bad?uploadId=u", {}, "404 NOT_FOUND"],
  ["GET", "/r2/?limit=0", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?limit=1001", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?limit=-1", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?limit=1.5", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?limit=x", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?include=etag", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?include=http_metadata,constructor", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?include=httpMetadata", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?allow_partial=yes", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?prefix=a%zz", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?prefix=%ff", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?cursor=%e0%a0", {}, "400 INVALID_REQUEST"],
  ["GET", "/r2/?service=NOPE", {}, "404 UNKNOWN_SERVICE"],
  ["POST", "/r2/", { body: "x" }, "405 METHOD_NOT_ALLOWED"],
  ["POST", "/r2/?delete", { body: "x" }, "405 METHOD_NOT_ALLOWED"],
  ["GET", "/r2/never-written", {}, "404 NOT_FOUND"],
  ["PATCH", "/r2/bad", { body: "x" }, "405 METHOD_NOT_ALLOWED"],
];

const adminRows: Row[] = [
  ["GET", "/nowhere", {}, "404 NOT_FOUND"],
  ["GET", "/", {}, "404 NOT_FOUND"],
  ["GET", "/metrics/x", {}, "404 NOT_FOUND"],
  ["GET", "/health", {}, "404 NOT_FOUND"],
  ["POST", "/health/status", {}, "405 METHOD_NOT_ALLOWED"],
  ["GET", "/health/queue/redrive", {}, "405 METHOD_NOT_ALLOWED"],
  ["OPTIONS", "/health/config", {}, "405 METHOD_NOT_ALLOWED"],
  ["GET", "/health/services/NOPE", {}, "404 UNKNOWN_SERVICE"],
  ["GET", "/health/services/%ff", {}, "400 INVALID_REQUEST"],
  ["GET", "/health/events?service=NOPE", {}, "404 UNKNOWN_SERVICE"],
  ["GET", "/health/events?limit=0", {}, "400 INVALID_REQUEST"],
  ["GET", "/health/events?limit=1001", {}, "400 INVALID_REQUEST"],
  ["GET", "/health/events?since=yesterday", {}, "400 INVALID_REQUEST"],
  ["POST", "/health/check", { json: { service: "NOPE" } }, "404 UNKNOWN_SERVICE"],
  ["POST", "/health/check", { json: { servce: "R2_STORAGE" } }, "400 INVALID_REQUEST"],
  ["POST", "/health/check", { body: "{" }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/mode`, { json: { mode: "forced", reason: "r" } }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/mode`, { json: { mode: "auto" } }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/mode`, { json: { mode: "auto", reason: " " } }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/mode`, { json: { mode: "auto", reason: "r", circuits: ["both"] } }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/mode`, { json: { mode: "auto", reason: "r", circuits: [] } }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/mode`, { json: { mode: "auto", reason: "r", duration_ms: 0 } }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/mode`, { json: { mode: "auto", reason: "r", read_only: "no" } }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/mode`, { json: [] }, "400 INVALID_REQUEST"],
  ["PUT", "/health/services/NOPE/mode", { json: { mode: "auto", reason: "r" } }, "404 UNKNOWN_SERVICE"],
  ["POST", `${SERVICE}/degrade`, {}, "400 INVALID_REQUEST"],
  ["POST", `${SERVICE}/degrade`, { body: BIG_JSON }, "413 PAYLOAD_TOO_LARGE"],
  ["POST", `${SERVICE}/recover`, { json: { mode: "auto" } }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/faults`, { json: {} }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/faults`, { json: [] }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/faults`, { json: { faults: [{ operations: ["push"] }] } }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/faults`, { json: { faults: [{ operations: "all", error_rate: 2 }] } }, "400 INVALID_REQUEST"],
  ["PUT", `${SERVICE}/faults`, { json: { faults: [{ operations: "all", latency_ms: -1 }] } }, "400 INVALID_REQUEST"],
  [
    "PUT",
    `${SERVICE}/faults`,
    { json: { faults: [{ operations: "all", expires_at: "soon" }] } },
    "400 INVALID_REQUEST",
  ],
  ["PUT", `${SERVICE}/faults`, { json: { faults: [{ operations: "all", hangs: true }] } }, "400 INVALID_REQUEST"],
  ["GET", "/health/queue/status?service=NOPE", {}, "404 UNKNOWN_SERVICE"],
  ["GET", "/health/queue/operations?limit=0", {}, "400 INVALID_REQUEST"],
  ["GET", "/health/queue/operations?limit=x", {}, "400 INVALID_REQUEST"],
  ["GET", "/health/queue/operations?status=LOST", {}, "400 INVALID_REQUEST"],
  ["GET", "/health/queue/operations?cursor=x", {}, "400 INVALID_REQUEST"],
  ["GET", "/health/queue/operations/none", {}, "404 NOT_FOUND"],
  ["GET", "/health/queue/operations/0-00000000-none", {}, "404 NOT_FOUND"],
  ["GET", "/health/queue/operations/99-00000000-none", {}, "404 NOT_FOUND"],
  ["GET", "/health/queue/operations/0-00000000-none/payload", {}, "404 NOT_FOUND"],
  ["POST", "/health/queue/operations/0-00000000-none/cancel", {}, "404 NOT_FOUND"],
  ["POST", "/health/queue/operations/0-00000000-none/retry", {}, "404 NOT_FOUND"],
  ["POST", "/health/queue/operations/0-00000000-none/retry", { json: { force: "yes" } }, "400 INVALID_REQUEST"],
  ["POST", "/health/queue/redrive", { json: { service: "NOPE" } }, "404 UNKNOWN_SERVICE"],
  ["POST", "/health/queue/redrive", { json: { force: 1 } }, "400 INVALID_REQUEST"],
  ["POST", "/health/queue/pause", { json: { service: 1 } }, "400 INVALID_REQUEST"],
  ["PUT", "/health/config/R2_STORAGE/max_retries", { json: {} }, "400 INVALID_REQUEST"],
  ["PUT", "/health/config/R2_STORAGE/max_retries", { json: { value: 101 } }, "422 INVALID_CONFIG"],
  ["PUT", "/health/config/R2_STORAGE/max_retries", { json: { value: "3" } }, "422 INVALID_CONFIG"],
  ["PUT", "/health/config/R2_STORAGE/max_retries", { json: { value: null } }, "422 INVALID_CONFIG"],
  ["PUT", "/health/config/R2_STORAGE/no_such_key", { json: { value: 1 } }, "404 UNKNOWN_CONFIG"],
  ["PUT", "/health/config/OPERATION_QUEUE/max_retries", { json: { value: 1 } }, "404 UNKNOWN_CONFIG"],
  ["PUT", "/health/config/NOPE/max_retries", { json: { value: 1 } }, "404 UNKNOWN_SERVICE"],
];

const title = ([method, path, sent, expected]: Row) =>
  `${method} ${path.slice(0, 60)} ${JSON.stringify(sent).slice(0, 90)}: ${expected}`;

/** Objects that start for the first time may take longer, on a busy machine, than a request waits for them. */
beforeAll(async () => {
  const isAwake = async () => {
    const response = await send("GET", "/health/queue/status");
    return response.status === 200 && (await response.json<Record<string, number>>()).unreachable_shards === 0;
  };
  await vi.waitUntil(isAwake, { timeout: 30_000, interval: 100 });
}, 40_000);

describe("the gateway", () => {
  for (const row of gatewayRows) {
    const [method, path, sent, expected] = row;
    test(title(row), async () => {
      expect(await verdict(await asGateway(method, path, sent))).toBe(expected);
    });
  }

  afterAll(async () => {
    expect((await env.R2_BUCKET.list()).objects.filter(({ key }) => !key.startsWith(".r2-failover/"))).toEqual([]);
    const { total_size, failed } = await (await send("GET", "/health/queue/status")).json<Record<string, number>>();
    expect({ total_size, failed }).toEqual({ total_size: 0, failed: 0 });
  });
});

describe("the operators' calls", () => {
  for (const row of adminRows) {
    const [method, path, sent, expected] = row;
    test(title(row), async () => {
      expect(await verdict(await asAdmin(method, path, sent))).toBe(expected);
    });
  }
});

test.each(["GET", "PUT", "DELETE"])("%s of faults is 403 FAULT_INJECTION_OFF unless switched on", async (method) => {
  for (const FAULT_INJECTION of ["", "off", "true"]) {
    const sent = { env: { FAULT_INJECTION }, ...(method === "PUT" ? { json: { faults: [] } } : {}) };
    expect(await verdict(await asAdmin(method, `${SERVICE}/faults`, sent))).toBe("403 FAULT_INJECTION_OFF");
  }
});

test("a 405 names the methods that the path takes", async () => {
  expect((await asAdmin("POST", "/health/status")).headers.get("allow")).toBe("GET, HEAD");
  expect((await asAdmin("PATCH", "/r2/x")).headers.get("allow")).toBe("PUT, POST, GET, DELETE, HEAD");
});

describe("the body of an upload", () => {
  const broken = () =>
    new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(10)),
      pull: (controller) => controller.error(new Error("the client is gone")),
    });

  test("that breaks midway stores nothing, queues nothing and is the caller's fault", async () => {
    const response = await asGateway("PUT", "/r2/broken-small", { body: broken() });
    expect(await verdict(response)).toBe("400 INVALID_REQUEST");
    expect(await env.R2_BUCKET.head("broken-small")).toBeNull();
  });

  test("that breaks midway while it is streamed to R2 is the caller's fault too", async () => {
    const headers = { "content-length": String(4 * 1024 * 1024) };
    const response = await asGateway("PUT", "/r2/broken-large", { body: broken(), headers });
    expect(await verdict(response)).toBe("400 INVALID_REQUEST");
    expect(await env.R2_BUCKET.head("broken-large")).toBeNull();
  });

  test("that is long and does not say how long is refused: R2 takes no stream without a length", async () => {
    const chunk = new Uint8Array(256 * 1024);
    const body = new ReadableStream({ pull: (controller) => controller.enqueue(chunk) });
    expect(await verdict(await asGateway("PUT", "/r2/endless", { body }))).toBe("400 INVALID_REQUEST");
  });
});

describe("an unexpected error", () => {
  const exploding = {
    idFromName: (name: string) => name,
    get: () => {
      throw new TypeError("secret internals");
    },
  } as unknown as WorkerEnv["SYSTEM_DO"];

  test("is a 500 that shows nothing of itself but the id that finds it in the log", async () => {
    const faulty = Object.defineProperty({ ...env }, "R2_SERVICES", {
      get: () => {
        throw new TypeError("secret internals");
      },
    });
    const headers = { "x-request-id": "request-500" };
    const response = await handle(new Request("http://worker.test/health/queue/status", { headers }), faulty);
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(JSON.parse(text)).toMatchObject({ code: "INTERNAL", request_id: "request-500" });
    expect(text).not.toContain("secret");
  });

  test("in an object is a 503 with Retry-After, and shows nothing either", async () => {
    const response = await asAdmin("GET", "/health/config", { env: { SYSTEM_DO: exploding } });
    expect(response.headers.get("retry-after")).toMatch(/^\d+$/);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ status: 503, code: "SERVICE_UNAVAILABLE" });
    expect(text).not.toContain("secret");
  });
});

test("every answer carries a request id: the caller's own when it is fit for a log", async () => {
  const own = await send("GET", "/health/live", { headers: { "x-request-id": "my-request-1" } });
  expect(own.headers.get("x-request-id")).toBe("my-request-1");
  const unfit = await send("GET", "/health/live", { headers: { "x-request-id": 'a"b c' } });
  expect(unfit.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
});
