import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { unpackTar } from "modern-tar";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { shardOfOperation } from "../../../src/shared/keys";
import { asAdmin, asGateway, verdict } from "./client";

const SERVICE = "/health/services/R2_STORAGE";
const EXPORT = "/health/queue/export";
const OPERATIONS = "/health/queue/operations";

beforeEach(async () => {
  await asAdmin("POST", "/health/queue/pause", {});
  await asAdmin("POST", `${SERVICE}/degrade`, { json: { reason: "drill" } });
});

afterEach(async () => {
  const { operations } = await (await asAdmin("GET", OPERATIONS)).json<{ operations: Listed[] }>();
  for (const { operation_id } of operations) await asAdmin("POST", `${OPERATIONS}/${operation_id}/cancel`);
  await asAdmin("POST", `${SERVICE}/recover`);
  await asAdmin("POST", "/health/queue/resume", {});
});

interface Listed {
  operation_id: string;
  status: string;
}

interface Line extends Listed {
  key: string;
  size: number;
  operation_type: string;
  custom_metadata?: Record<string, string>;
  http_metadata?: Record<string, unknown>;
}

async function queue(key: string, body: BodyInit, headers: Record<string, string> = {}): Promise<string> {
  const response = await asGateway("PUT", `/r2/${key}`, { body, headers });
  expect(response.status).toBe(202);
  return (await response.json<{ operation_id: string }>()).operation_id;
}

async function read(response: Response): Promise<{ lines: Line[]; files: Map<string, Uint8Array>; names: string[] }> {
  expect(response.status).toBe(200);
  const entries = await unpackTar(response.body ?? new ReadableStream());
  const files = new Map(entries.map(({ header, data }) => [header.name, data ?? new Uint8Array()]));
  const manifest = new TextDecoder().decode(files.get("manifest.jsonl"));
  const lines = manifest.split("\n").filter((line) => line !== "");
  return { lines: lines.map((line) => JSON.parse(line)), files, names: entries.map(({ header }) => header.name) };
}

const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? null : new TextDecoder().decode(bytes));
const shardFor = (id: string) => env.QUEUE_DO.get(env.QUEUE_DO.idFromName(`R2_STORAGE:${shardOfOperation(id)}`));

test("everything that is queued is in it: a manifest first, then the payloads, with names of any length", async () => {
  const large = new Uint8Array(2_500_000).map((_, index) => index % 251);
  const long = "i".repeat(128);
  const small = await queue("a/ü.txt", "hello", { "content-type": "text/plain", "x-amz-meta-from": "me" });
  const empty = await queue("empty", new Uint8Array());
  const named = await queue("named", "long name", { "idempotency-key": long });
  const big = await queue("large", large, { "content-length": String(large.byteLength) });
  await asGateway("DELETE", "/r2/gone");

  const response = await asAdmin("GET", EXPORT, { headers: { "x-request-id": "export-request-1" } });
  expect(response.headers.get("content-type")).toBe("application/x-tar");
  expect(response.headers.get("content-disposition")).toBe('attachment; filename="R2_STORAGE-queue.tar"');
  const { lines, files, names } = await read(response);

  expect(names[0]).toBe("manifest.jsonl");
  expect(lines.map(({ key }) => key).sort()).toEqual(["a/ü.txt", "empty", "gone", "large", "named"]);
  expect(lines.find(({ key }) => key === "a/ü.txt")).toMatchObject({
    operation_id: small,
    operation_type: "UPLOAD",
    status: "PENDING",
    size: 5,
    http_metadata: { contentType: "text/plain" },
    custom_metadata: { from: "me" },
  });
  expect(text(files.get(`payloads/${small}`))).toBe("hello");
  expect(files.get(`payloads/${empty}`)?.byteLength).toBe(0);
  expect(named).toContain(long);
  expect(text(files.get(`payloads/${named}`))).toBe("long name");
  expect(files.get(`payloads/${big}`)).toEqual(large);
  expect(files.size).toBe(5);

  await vi.waitFor(async () => {
    const seen = await (await asAdmin("GET", "/health/events?service=R2_STORAGE&limit=1000")).text();
    expect(seen).toMatch(/QUEUE_EXPORTED[^}]*"actor":"admin"[^}]*export-request-1/);
  });
});

test("an empty queue is an archive with an empty manifest", async () => {
  const { names, lines } = await read(await asAdmin("GET", EXPORT));
  expect([names, lines]).toEqual([["manifest.jsonl"], []]);
});

test("an operation that ends meanwhile is named as such, and leaves the manifest as long as was said", async () => {
  const ids = [await queue("one", "1"), await queue("two", "2")];
  const [first = ""] = ids;
  const shard = shardFor(first);
  const cut = await shard.exportCut();
  await asAdmin("POST", `${OPERATIONS}/${first}/cancel`);
  const manifest = await new Response(await shard.exportManifest(cut)).text();
  expect(new TextEncoder().encode(manifest).byteLength).toBe(cut.manifestBytes);
  expect(JSON.parse(manifest.split("\n").find((line) => line.includes(first)) ?? "")).toMatchObject({
    status: "CANCELLED",
  });
  const payloads = await new Response(await shard.exportPayloads(cut)).text();
  expect(payloads).toContain(`problems/${first}`);
  expect(payloads).toContain("has ended meanwhile (CANCELLED)");
  expect(payloads).not.toContain(`payloads/${first}`);
  // What was queued later is not in it.
  expect((await shard.exportCut()).operations).toBe(cut.operations - 1);
});

test("a payload that cannot be read is named, and keeps no other from being given", async () => {
  const broken = await queue("broken", "no bytes");
  const half = await queue("half", new Uint8Array(1_500_000).fill(7), { "content-length": "1500000" });
  const whole = await queue("whole", "all there");
  for (const [id, chunk] of [
    [broken, 0],
    [half, 1],
  ] as const) {
    await runInDurableObject(shardFor(id), (_, state) => {
      state.storage.sql.exec("DELETE FROM payload_chunks WHERE operation_id = ? AND n = ?", id, chunk);
    });
  }
  const { files } = await read(await asAdmin("GET", EXPORT));
  expect(text(files.get(`payloads/${whole}`))).toBe("all there");
  expect(files.has(`payloads/${broken}`)).toBe(false);
  expect(text(files.get(`problems/${broken}`))).toContain("unreadable");
  const filled = files.get(`payloads/${half}`) ?? new Uint8Array();
  expect(filled.byteLength).toBe(1_500_000);
  expect([filled[0], filled[1_048_575], filled[1_048_576], filled[1_499_999]]).toEqual([7, 7, 0, 0]);
  expect(text(files.get(`problems/${half}`))).toContain("From byte 1048576 on");
});

test("a part of the queue that does not answer refuses the export, unless it may be partial", async () => {
  const id = await queue("reachable", "here");
  const silent = (shardOfOperation(id) ?? 0) === 0 ? 1 : 0;
  const silentName = `R2_STORAGE:${silent}`;
  const QUEUE_DO = {
    idFromName: (name: string) => (name === silentName ? name : env.QUEUE_DO.idFromName(name)),
    get: (target: unknown) =>
      target === silentName
        ? { exportCut: () => Promise.reject(new Error("gone")) }
        : env.QUEUE_DO.get(target as DurableObjectId),
  } as unknown as typeof env.QUEUE_DO;
  expect(await verdict(await asAdmin("GET", EXPORT, { env: { QUEUE_DO } }))).toBe("503 SERVICE_UNAVAILABLE");
  const response = await asAdmin("GET", `${EXPORT}?allow_partial=true`, { env: { QUEUE_DO } });
  expect(response.headers.get("x-failover-unreachable-shards")).toBe(String(silent));
  expect(text((await read(response)).files.get(`payloads/${id}`))).toBe("here");
});
