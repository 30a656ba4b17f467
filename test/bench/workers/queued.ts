/** What the queue's benchmarks do from outside the objects. */

import type { NewOperation } from "../../../durable-objects/queue/queue-store";
import { score } from "../../../durable-objects/queue/schedule";
import { queueStub, serviceStub } from "../../../src/bucket/stubs";
import type { FailoverEnv } from "../../../src/shared/env";
import { operationId, shardName } from "../../../src/shared/keys";
import type { EnqueueRequest, PutMetadata } from "../../../src/shared/protocol";
import type { BenchQueueDO, Drained, Preload } from "./bench-queue";
import { randomBytes } from "./bytes";
import type { PeerDO } from "./peer-object";
import { BY } from "./refused";

export interface BenchEnv extends Omit<FailoverEnv, "QUEUE_DO"> {
  QUEUE_DO: DurableObjectNamespace<BenchQueueDO>;
  PEER_DO: DurableObjectNamespace<PeerDO>;
}

const SHARD = 0;
const PAYLOAD_BYTES = 1_024;
/** More distinct keys than a shard lists: it is then busy as a whole, and announces nothing more. */
const SEEDS = 20;
/** As many as a drain has in flight. */
const CLAIM_BATCH = 6;
const POLL_MS = 50;

const METADATA: PutMetadata = {
  httpMetadata: { contentType: "application/octet-stream" },
  customMetadata: {},
  checksum: null,
  storageClass: null,
  ssecKey: null,
};

export function shardOf(env: BenchEnv, service: string, shard = SHARD) {
  return env.QUEUE_DO.get(env.QUEUE_DO.idFromName(shardName(service, shard)));
}

export function peer(env: BenchEnv) {
  return env.PEER_DO.get(env.PEER_DO.idFromName("peer"));
}

function request(key: string): EnqueueRequest {
  return {
    operationId: operationId(key, 1, crypto.randomUUID()),
    kind: "put",
    key,
    priority: 5,
    userId: null,
    fileId: null,
    maxRetries: null,
    metadata: METADATA,
    size: PAYLOAD_BYTES,
    directCall: null,
    ticket: null,
    condition: null,
    readable: true,
  };
}

/** Enqueues `count` operations, one after the other. Answers how long it took, ms. */
export async function enqueueAll(env: BenchEnv, service: string, count: number): Promise<number> {
  const stub = queueStub(env, service, SHARD);
  const payload = randomBytes(PAYLOAD_BYTES);
  const prefix = crypto.randomUUID();
  const startedAt = Date.now();
  for (let i = 0; i < count; i += 1) {
    const reply = await stub.enqueue(request(`${prefix}/${i}`), payload);
    if (!reply.ok) throw new Error(`${reply.code}: ${reply.message}`);
  }
  return Date.now() - startedAt;
}

/** The peer of `enqueueAll`: one bare call that inserts the same row and the same payload. */
export async function insertAll(env: BenchEnv, count: number): Promise<number> {
  const stub = peer(env);
  const payload = randomBytes(PAYLOAD_BYTES);
  const prefix = crypto.randomUUID();
  const startedAt = Date.now();
  for (let i = 0; i < count; i += 1) await stub.insert(row(`${prefix}/${i}`), payload);
  return Date.now() - startedAt;
}

function row(key: string): NewOperation {
  const now = Date.now();
  const md5 = "d41d8cd98f00b204e9800998ecf8427e";
  return {
    operationId: operationId(key, 1, crypto.randomUUID()),
    type: "UPLOAD",
    payload: JSON.stringify({ json: METADATA }),
    priority: 5,
    maxRetries: null,
    userId: null,
    fileId: null,
    key,
    keyId: null,
    now,
    score: score(now, 5),
    fenceAt: now + 1,
    firstCallAt: null,
    needsEpoch: 1,
    size: PAYLOAD_BYTES,
    heldBytes: PAYLOAD_BYTES,
    etag: md5,
    checksums: JSON.stringify({ md5 }),
    fingerprint: `${md5}:${md5}`,
    uploadId: null,
  };
}

/** A paused service whose shard is busy as a whole. Answers the id of one of the operations that make it so. */
export async function prepare(env: BenchEnv, service: string): Promise<string> {
  await serviceStub(env, service).setPaused(true, BY);
  const payload = randomBytes(PAYLOAD_BYTES);
  let template = "";
  for (let i = 0; i < SEEDS; i += 1) {
    const reply = await queueStub(env, service, SHARD).enqueue(
      request(`${service}/seed/${crypto.randomUUID()}`),
      payload,
    );
    if (!reply.ok || reply.verdict !== "queued") throw new Error(`no seed: ${JSON.stringify(reply)}`);
    template = reply.stored.operationId;
  }
  return template;
}

/** Fills a paused service with copies of an operation that it has just accepted. */
export async function preload(env: BenchEnv, service: string, what: Omit<Preload, "template">): Promise<void> {
  const template = await prepare(env, service);
  await shardOf(env, service).preload({ ...what, template });
  await shardOf(env, service)
    .restart()
    .catch(() => undefined);
  await shardOf(env, service).usage();
}

/** Claims a batch and gives it back, `count` times. Answers how long it took, ms. */
export async function claimAll(env: BenchEnv, service: string, count: number): Promise<number> {
  const stub = shardOf(env, service);
  const startedAt = Date.now();
  await stub.claim(count, CLAIM_BATCH);
  return Date.now() - startedAt;
}

/** Lets the service drain until no more than `left` operations are held, then pauses it. */
export async function drain(env: BenchEnv, service: string, prefix: string, left: number): Promise<Drained> {
  const stub = shardOf(env, service);
  await serviceStub(env, service).setPaused(false, BY);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    const { pending, processing } = await stub.usage();
    if (pending + processing <= left) break;
  }
  await serviceStub(env, service).setPaused(true, BY);
  return stub.drained(prefix);
}

/** The peer of `drain`. */
export async function putAll(env: BenchEnv, prefix: string, count: number, concurrency: number): Promise<number> {
  return peer(env).putAll(prefix, count, concurrency, randomBytes(PAYLOAD_BYTES));
}
