import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import type { QueueDO } from "../../../durable-objects/queue/queue-do";
import { QUEUE_CONFIG, QUEUE_SECTION, type QueueConfigKey, type ServiceConfigKey } from "../../../src/shared/config";
import { DEFAULT_SERVICE } from "../../../src/shared/env";
import { hashKey } from "../../../src/shared/keys";
import type { EnqueueReply, EnqueueRequest, FaultRule, PutMetadata, Stored } from "../../../src/shared/protocol";
import type { OperationRecord, ServiceMode } from "../../../src/shared/records";

export const BY = { actor: "test", requestId: "r-1" };
export const MIB = 1024 * 1024;

export const service = () => env.SERVICE_DO.get(env.SERVICE_DO.idFromName(DEFAULT_SERVICE));

/** A fresh stub of a shard: after an abort the old one is dead. */
export const shard = (n: number) => env.QUEUE_DO.get(env.QUEUE_DO.idFromName(`${DEFAULT_SERVICE}:${n}`));

/** Short times, and enough shards for each test to have its own. */
const CONFIG: Partial<Record<ServiceConfigKey | QueueConfigKey, number>> = {
  shards: 64,
  write_timeout_ms: 200,
  read_timeout_ms: 200,
  retry_delay_ms: 1,
  lease_cap_ms: 100,
  circuit_breaker_timeout: 200,
  health_check_interval: 1_000,
  processing_interval: 100,
};

export async function configure(config: Partial<Record<ServiceConfigKey | QueueConfigKey, number>>): Promise<void> {
  const system = env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system"));
  for (const [key, value] of Object.entries(config)) {
    const answer = await system.setConfig(key in QUEUE_CONFIG ? QUEUE_SECTION : DEFAULT_SERVICE, key, value, BY);
    if (!answer.ok) throw new Error(`${key}: ${answer.message}`);
  }
}

/** Call once a file, before anything else. */
export async function start(config: Partial<Record<ServiceConfigKey | QueueConfigKey, number>> = {}): Promise<void> {
  await configure({ ...CONFIG, ...config });
  await service().overview();
}

/** Nothing is drained until `resume`. */
export const pause = () => service().setPaused(true, BY);
export const resume = () => service().setPaused(false, BY);

/** Takes the circuits by hand, or gives them back. */
export async function mode(name: ServiceMode): Promise<void> {
  const answer = await service().setMode({ mode: name, reason: "test" }, BY);
  if (!answer.ok) throw new Error(answer.message);
}

/** Faults of the bucket; they reach a busy shard at once, a calm one with its next notice. */
export async function fault(rules: readonly FaultRule[]): Promise<void> {
  const answer = await service().setFaults(rules, BY);
  if (!answer.ok) throw new Error(answer.message);
}

export const PLAIN: PutMetadata = {
  httpMetadata: {},
  customMetadata: {},
  checksum: null,
  storageClass: null,
  ssecKey: null,
};

export const idOf = (key: string, clientPart: string) =>
  `0-${hashKey(key).toString(16).padStart(8, "0")}-${clientPart}`;

export function putRequest(key: string, clientPart: string, changes: Partial<EnqueueRequest> = {}): EnqueueRequest {
  return {
    operationId: idOf(key, clientPart),
    kind: "put",
    key,
    priority: 5,
    userId: null,
    fileId: null,
    maxRetries: null,
    metadata: PLAIN,
    size: null,
    directCall: null,
    ticket: null,
    condition: null,
    readable: true,
    ...changes,
  };
}

export function deleteRequest(key: string, clientPart: string, changes: Partial<EnqueueRequest> = {}): EnqueueRequest {
  return putRequest(key, clientPart, { kind: "delete", metadata: null, ...changes });
}

/** The stored operation, or a failed test. */
export function stored(reply: EnqueueReply): Stored {
  if (!reply.ok || reply.verdict !== "queued") throw new Error(`not queued: ${JSON.stringify(reply)}`);
  return reply.stored;
}

export const text = (value: string) => new TextEncoder().encode(value);

/** Bytes that tell their own place, with a period that divides no chunk. */
const PATTERN = Uint8Array.from({ length: 5 * MIB }, (_, i) => (i % 251) ^ (i >>> 16));

/** Up to 5 MiB that differ from those of another seed. */
export function bytes(size: number, seed = 0): Uint8Array {
  const data = PATTERN.slice(0, size);
  if (size > 0) data[size - 1] = seed;
  return data;
}

/** A byte stream of `data` in pieces of the given sizes, repeated; `breakAt`: it breaks before this byte. */
export function streamOf(data: Uint8Array, sizes: readonly number[], breakAt = Number.POSITIVE_INFINITY) {
  let at = 0;
  let n = 0;
  const source: UnderlyingByteSource = {
    type: "bytes",
    pull(controller) {
      if (at >= breakAt) return controller.error(new Error("the client went away"));
      if (at >= data.byteLength) return controller.close();
      const size = sizes[n % sizes.length] ?? 1;
      n += 1;
      controller.enqueue(data.slice(at, at + size));
      at += size;
    },
  };
  return new ReadableStream(source);
}

export async function readAll(stream: ReadableStream<Uint8Array> | null): Promise<Uint8Array> {
  if (stream === null) throw new Error("no payload");
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && crypto.subtle.timingSafeEqual(a, b);
}

export async function md5(data: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("MD5", data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Rows of one of the shard's tables. */
export function rows<Row = Record<string, SqlStorageValue>>(n: number, query: string): Promise<Row[]> {
  return runInDurableObject(shard(n), (_: QueueDO, state) => state.storage.sql.exec(query).toArray() as Row[]);
}

/** The shard dies at once, and lives again at its next call. */
export async function restart(n: number): Promise<void> {
  const died = runInDurableObject(shard(n), (_: QueueDO, state) => state.abort("restarted"));
  await died.catch(() => undefined);
}

export const HOLDING = ["receipts", "payload_chunks", "freeing", "outstanding_calls", "ledger"] as const;

/** Number of rows of each table that holds something for operations. */
export async function counts(n: number): Promise<Record<string, number>> {
  const tables = ["operation_queue", ...HOLDING];
  const query = tables.map((name) => `(SELECT COUNT(*) FROM ${name}) AS ${name}`).join(", ");
  const [row] = await rows<Record<string, number>>(n, `SELECT ${query}`);
  return row ?? {};
}

export const EMPTY = Object.fromEntries(HOLDING.map((name) => [name, 0]));

export async function statusOf(n: number, id: string): Promise<string> {
  return (await shard(n).operation(id))?.status ?? "UNKNOWN";
}

const FINAL = ["COMPLETED", "CANCELLED", "SUPERSEDED"];

/** Waits until the operation has ended or is parked. */
export async function ended(n: number, id: string, timeout = 20_000): Promise<OperationRecord> {
  return await vi.waitUntil(
    async () => {
      const record = await shard(n).operation(id);
      return record !== null && [...FINAL, "FAILED"].includes(record.status) ? record : null;
    },
    { timeout, interval: 20 },
  );
}

/** What R2 holds, read without our code in between. */
export async function inR2(key: string): Promise<Uint8Array | null> {
  const object = await env.R2_BUCKET.get(key);
  return object === null ? null : new Uint8Array(await object.arrayBuffer());
}
