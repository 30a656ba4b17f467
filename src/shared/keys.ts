import { FailoverError } from "./errors";

/** Keys below this prefix are ours (canaries): refused at the gateway, hidden from lists. */
export const RESERVED_PREFIX = ".r2-failover/";

/** R2's limit, in UTF-8. */
export const MAX_KEY_BYTES = 1_024;

const encoder = new TextEncoder();

/** FNV-1a, 32 bit, over UTF-8 (Fowler, Noll, Vo; offset basis 2166136261, prime 16777619). Unsigned. */
export function hashKey(key: string): number {
  let hash = 0x811c9dc5;
  for (const byte of encoder.encode(key)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** The shard of a key. FNV's low bits are weak for short keys, so the high half is folded in. */
export function shardOf(key: string, shardCount: number): number {
  const hash = hashKey(key);
  return ((hash >>> 16) ^ (hash & 0xffff)) % shardCount;
}

export function shardName(service: string, shard: number): string {
  return `${service}:${shard}`;
}

const CLIENT_PART = /^[A-Za-z0-9_.:-]{1,128}$/;

/**
 * An operation id: `<shard>-<key hash, 8 hex digits>-<client part>`. It carries its shard, and one client part used
 * for two keys names two operations. Throws `INVALID_REQUEST` when the client part has other characters than
 * `A-Z a-z 0-9 _ . : -` or more than 128 of them.
 */
export function operationId(key: string, shardCount: number, clientPart: string): string {
  if (!CLIENT_PART.test(clientPart)) {
    throw new FailoverError(
      "INVALID_REQUEST",
      "An operation id or Idempotency-Key has 1 to 128 characters out of A-Z a-z 0-9 _ . : -",
    );
  }
  return `${shardOf(key, shardCount)}-${hashKey(key).toString(16).padStart(8, "0")}-${clientPart}`;
}

/** The shard that an operation id names, or null when it is no operation id. */
export function shardOfOperation(id: string): number | null {
  const match = /^(\d{1,2})-[0-9a-f]{8}-[A-Za-z0-9_.:-]{1,128}$/.exec(id);
  return match ? Number(match[1]) : null;
}

const QUEUE_UPLOAD = /^queued-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The id of a multipart upload that begins in the queue, because R2 does not take it. R2's own ids look otherwise. */
export function queueUploadId(): string {
  return `queued-${crypto.randomUUID()}`;
}

export function isQueueUpload(uploadId: string): boolean {
  return QUEUE_UPLOAD.test(uploadId);
}

/** What a shard says to be busy for while it holds parts of open uploads: no key's hash, because they slow no key. */
export const UPLOADS_HASH = 2 ** 32;
