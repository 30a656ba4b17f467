/** Reads: from R2, or, where the queue holds a later write of the key, from the queue; else from the read cache. */
import { waitUntil } from "cloudflare:workers";
import { shardOf } from "../shared/keys";
import type { PeekReply, PendingOperation } from "../shared/protocol";
import { within } from "../shared/within";
import { admit, mayAdmit } from "./admission";
import type { Stale } from "./cached-object";
import { conditionHolds, plainCondition } from "./conditions";
import { callR2 } from "./direct-call";
import { shardCount } from "./isolate-service";
import { configOf, isBusy, isTrusted, takeShard } from "./isolate-state";
import { classifyObject, fingerprintOf } from "./ledger";
import { mayBeLater } from "./own-writes";
import { checkKey, ssecKeyHex } from "./put-options";
import { QueuedObject, QueuedObjectBody } from "./queued-object";
import { checkOptions, textOf } from "./r2-arguments";
import { checkRange, resolveRange } from "./ranges";
import { beginFilling, cachedHead, cachedObject, filling } from "./read-cache";
import { prepare, type Session, unavailable } from "./session";
import { queueStub } from "./stubs";

export const PEEK_TIMEOUT_MS = 5_000;
/** While R2 admits nothing, a read of a key of which nothing is known to be queued has its answer, or a 503, by then. */
const HURRIED_MS = 40;
const HEAD_TIMEOUT_MS = 1_000;
export const QUEUE_DOWN_MS = 2_000;
const PARTS_IN_R2 =
  "The key's last write is a multipart upload with parts in R2, which nobody can read before R2 has completed it.";
/** How often a payload may be drained away between `peek` and `payload`. */
const MAX_PEEKS = 3;

/** What a read found, and where. Out of the cache it may be outdated, and says so. */
export type Found<T> =
  | { readonly source: "primary" | "queue"; readonly object: T | null }
  | { readonly source: "cache"; readonly object: T & Stale };

type Body = R2Object | R2ObjectBody;

/** What differs between the reads. */
interface Read<T> {
  readonly key: string;
  readonly method: "get" | "head";
  readonly fromR2: () => Promise<T | null>;
  /** The answer out of a queued put; null when its payload is gone, because it has been drained. */
  readonly fromQueue: (pending: PendingOperation) => Promise<T | null>;
  /** The answer out of the read cache; null: it has none. */
  readonly fromCache: () => Promise<(T & Stale) | null>;
  /** Throws what R2 throws on bad arguments. */
  readonly check: () => void;
}

/** Reads an object, or its metadata alone where `onlyIf` does not hold. */
export async function readObject(session: Session, given: string, options: R2GetOptions): Promise<Found<Body>> {
  const key = textOf(given);
  checkOptions("get", options);
  return read<Body>(session, {
    key,
    method: "get",
    fromR2: async () => {
      const fill = beginFilling(session, key, options);
      const object = await session.r2.get(key, options);
      return fill === null ? object : filling(session, fill, object);
    },
    fromQueue: (pending) => queuedBody(session, pending, options),
    fromCache: () => cachedObject(session, key, options),
    check: () => checkGet(key, options),
  });
}

/** Reads an object's metadata. */
export function readHead(session: Session, given: string): Promise<Found<R2Object>> {
  const key = textOf(given);
  return read<R2Object>(session, {
    key,
    method: "head",
    fromR2: () => session.r2.head(key),
    fromQueue: async ({ stored, metadata }) => new QueuedObject(stored, metadata, { offset: 0, length: stored.size }),
    fromCache: () => cachedHead(session, key),
    check: () => checkKey("head", key),
  });
}

/** Throws what R2 throws on bad arguments. */
function checkGet(key: string, { onlyIf, range, ssecKey }: R2GetOptions): void {
  plainCondition("get", onlyIf);
  checkRange(range);
  if (ssecKey !== undefined) ssecKeyHex(ssecKey);
  checkKey("get", key);
}

async function read<T>(session: Session, request: Read<T>): Promise<Found<T>> {
  const { state, isStrong } = session;
  const begunAt = Date.now();
  await prepare(session, "read");
  const now = Date.now();
  const mustAsk = isStrong || isBusy(state, request.key);
  if (!mustAsk && (isTrusted(state, now) || now < state.queueDownUntil)) return fromR2(session, request);
  const isHurried = !mustAsk && !mayAdmit(state, "read", now);
  for (let peeks = 0; peeks < MAX_PEEKS; peeks += 1) {
    let reply: PeekReply;
    try {
      reply = await peek(session, request.key, isHurried ? begunAt + HURRIED_MS - Date.now() : undefined);
    } catch (cause) {
      state.queueDownUntil = Date.now() + QUEUE_DOWN_MS;
      if (!mustAsk) return fromR2(session, request);
      throw unavailable("The key may have a queued write, and the queue does not answer.", undefined, cause);
    }
    // Only now may R2 be asked: before, a drain in between would leave its old bytes, and nothing pending.
    const found = await settled(session, request, reply);
    if (found !== null) return found;
  }
  throw unavailable("The key's queued writes are changing too fast to be read.");
}

/** The logical state of the key after a `peek`; null: the payload is gone, so look again. */
async function settled<T>(
  session: Session,
  request: Read<T>,
  { pending, ledger }: PeekReply,
): Promise<Found<T> | null> {
  if (pending === null || (await isOverwritten(session, pending, ledger))) return fromR2(session, request);
  const object = pending.kind === "delete" ? null : await request.fromQueue(pending);
  if (object === null && pending.kind !== "delete") return null;
  session.state.failovers.queuedReads += 1;
  return { source: "queue", object };
}

/**
 * Whether R2 holds a direct write that came after the operation; where R2 does not answer, the operation stands. Throws
 * when it may not: because this isolate itself has written past it.
 */
export async function isOverwritten(
  session: Session,
  pending: PendingOperation,
  ledger: PeekReply["ledger"],
): Promise<boolean> {
  const { state, r2 } = session;
  const { key, enqueuedAt } = pending.stored;
  const admission = admit(state, "read", Date.now());
  if (admission.admitted) {
    const head = await callR2(session, {
      method: "head",
      permit: admission.permit,
      timeoutMs: Math.min(HEAD_TIMEOUT_MS, configOf(state).read_timeout_ms),
      send: () => r2.head(key),
    });
    if (head.kind === "answered") return isNewer(pending, head.value, ledger);
  }
  if (!mayBeLater(state.ownWrites, key, enqueuedAt, Date.now())) return false;
  throw unavailable("What was written last is in R2, which is not readable right now.");
}

function isNewer(pending: PendingOperation, object: R2Object | null, ledger: PeekReply["ledger"]): boolean {
  const { stored, metadata, fenceAt, firstCallAt, kind } = pending;
  const fingerprint = kind === "delete" ? null : fingerprintOf({ ...metadata, etag: stored.etag, size: stored.size });
  const seen =
    object === null ? null : { version: object.version, uploaded: object.uploaded, fingerprint: fingerprintOf(object) };
  return classifyObject({ fenceAt, firstCallAt, fingerprint }, seen, ledger) === "newer";
}

async function fromR2<T>(session: Session, request: Read<T>): Promise<Found<T>> {
  const admission = admit(session.state, "read", Date.now());
  if (!admission.admitted) {
    return withoutR2(session, request, unavailable("R2 is not readable right now.", admission.retryAfter));
  }
  const { method, check } = request;
  const result = await callR2(session, { method, permit: admission.permit, check, send: request.fromR2 });
  if (result.kind === "answered") return { source: "primary", object: result.value };
  return withoutR2(session, request, unavailable("R2 did not answer the read.", undefined, result.cause));
}

/** Nothing is known to be queued for the key, and R2 does not answer. */
async function withoutR2<T>({ isStrong, state }: Session, request: Read<T>, error: Error): Promise<Found<T>> {
  request.check();
  const object = isStrong ? null : await request.fromCache();
  if (object === null) throw error;
  state.failovers.cachedReads += 1;
  return { source: "cache", object };
}

export async function peek(
  { env, service, state }: Session,
  key: string,
  timeoutMs = PEEK_TIMEOUT_MS,
): Promise<PeekReply> {
  const ask = async () => {
    const shard = shardOf(key, await shardCount(env, service));
    const reply = await queueStub(env, service, shard).peek(key);
    takeShard(state, reply.shard);
    state.queueDownUntil = 0;
    return reply;
  };
  const late = (ms: number) => () => new Error(`no answer from the queue within ${ms} ms`);
  const reply = within(ask(), PEEK_TIMEOUT_MS, late(PEEK_TIMEOUT_MS));
  if (timeoutMs >= PEEK_TIMEOUT_MS) return reply;
  // An answer that is too late for this read is early enough for its next try.
  waitUntil(reply.catch(() => undefined));
  return within(reply, timeoutMs, late(timeoutMs));
}

async function queuedBody(session: Session, pending: PendingOperation, options: R2GetOptions): Promise<Body | null> {
  const { stored, metadata, inline } = pending;
  checkGet(stored.key, options);
  const requiredKey = metadata?.ssecKey ?? null;
  if (requiredKey !== null && (options.ssecKey === undefined || ssecKeyHex(options.ssecKey) !== requiredKey)) {
    throw new Error("get: The object is encrypted with another customer key than the one given. (10069)");
  }
  const known = { etag: stored.etag, uploaded: stored.enqueuedAt };
  if (!conditionHolds(plainCondition("get", options.onlyIf), known)) {
    return new QueuedObject(stored, metadata, { offset: 0, length: stored.size });
  }
  const range = resolveRange(options.range, stored.size);
  if (pending.partsInR2) throw unavailable(PARTS_IN_R2);
  if (inline !== null) {
    const bytes = inline.subarray(range.offset, range.offset + range.length);
    return new QueuedObjectBody(stored, metadata, range, bytes);
  }
  const body = await payload(session, stored.operationId, pending, range.offset, range.length);
  return body === null ? null : new QueuedObjectBody(stored, metadata, range, body);
}

async function payload(
  { env, service }: Session,
  id: string,
  { stored }: PendingOperation,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null> {
  if (length === 0) return new Uint8Array(0);
  const shard = shardOf(stored.key, await shardCount(env, service));
  const late = () => new Error(`no answer from the queue within ${PEEK_TIMEOUT_MS} ms`);
  try {
    return await within(queueStub(env, service, shard).payload(id, offset, length), PEEK_TIMEOUT_MS, late);
  } catch (cause) {
    throw unavailable("The key has a queued write, and the queue does not answer.", undefined, cause);
  }
}
