/**
 * The read cache: what R2 answered, kept in the data centre for when R2 does not answer (Cache API; config
 * `read_cache_max_bytes`, 0 is off).
 *
 * - Filled by whole objects that were read from R2, up to that size, and not encrypted with a customer's key. The body
 *   is copied on its way to the caller: the first reader of a version gets R2's object with one half of a `tee`, of
 *   which the other half goes to the cache once the body is asked for. Up to the object's size of memory is used while
 *   one half runs ahead of the other. With the cache off, and for versions that were stored lately, R2's object passes
 *   untouched.
 * - Served only in place of an error: R2 has failed or admits nothing, and nothing is known to be queued for the key.
 *   Never to a `strong` bucket. What is served says so: `stale: true`, `ageMs`.
 * - Forgotten when this library writes or deletes the key in this data centre, also when that is queued, or its outcome
 *   unknown. Writes from elsewhere are not seen: an object that is deleted may be served for up to a day. That is why
 *   it is off unless somebody switches it on.
 */
import { waitUntil } from "cloudflare:workers";
import { isFailoverError } from "../shared/errors";
import { within } from "../shared/within";
import { type CacheEntry, cacheUrl, entryHeaders, parseEntry } from "./cache-entry";
import { isCurrent, isNews, rememberForgotten, rememberStored } from "./cache-memory";
import { CachedObject, CachedObjectBody, type Stale } from "./cached-object";
import { conditionHolds, plainCondition } from "./conditions";
import { configOf, type IsolateState } from "./isolate-state";
import { classifyR2Error } from "./r2-errors";
import { resolveRange } from "./ranges";
import type { Session } from "./session";
import { withBody } from "./with-body";

const CACHE_NAME = "r2-failover";
const CACHE_TIMEOUT_MS = 1_000;

type Body = R2Object | R2ObjectBody;

/** A read of R2 that may fill the cache. Begun before R2 is asked: what is written meanwhile makes its answer old. */
export interface Filling {
  readonly key: string;
  readonly readAt: number;
  /** The moment of `CacheMemory.now`. */
  readonly begunAt: number;
}

/** Null: the answer is not to be kept. */
export function beginFilling({ state }: Session, key: string, options: R2GetOptions): Filling | null {
  if (configOf(state).read_cache_max_bytes === 0) return null;
  if (options.range !== undefined || options.ssecKey !== undefined || !key.isWellFormed()) return null;
  return { key, readAt: Date.now(), begunAt: state.cacheMemory.now };
}

/** R2's answer, on its way to the caller. Its body fills the cache when it is read. */
export function filling(session: Session, fill: Filling, object: Body | null): Body | null {
  const { state } = session;
  const { key } = fill;
  if (object === null || object.size > configOf(state).read_cache_max_bytes) {
    if (isNews(state.cacheMemory, key, null, fill.readAt)) waitUntil(forget(session, [key]));
    return object;
  }
  if (!("body" in object) || object.ssecKeyMd5 !== undefined) return object;
  if (!isNews(state.cacheMemory, key, object.version, fill.readAt)) return object;
  return withBody(object, () => {
    if (!isCurrent(state.cacheMemory, key, fill.begunAt)) return object.body;
    const [body, copy] = object.body.tee();
    waitUntil(store(session, fill, object, copy));
    return body;
  });
}

async function store({ service, state }: Session, fill: Filling, object: R2Object, body: ReadableStream) {
  const { key, readAt, begunAt } = fill;
  const url = cacheUrl(service, key);
  rememberStored(state.cacheMemory, key, object.version, readAt);
  const cache = await caches.open(CACHE_NAME);
  try {
    const whole = body.pipeThrough(new FixedLengthStream(object.size));
    await cache.put(url, new Response(whole, { headers: entryHeaders(object, readAt) }));
    if (isCurrent(state.cacheMemory, key, begunAt)) return;
  } catch {
    // A body that broke off may have left a part of itself.
    rememberForgotten(state.cacheMemory, key, readAt);
  }
  await cache.delete(url).catch(() => undefined);
}

/** Runs a put, and then forgets what is cached of its key, unless nothing can have changed. */
export async function forgetting<T>(session: Session, key: string, put: () => Promise<T>): Promise<T> {
  let outcome: T;
  try {
    outcome = await put();
  } catch (error) {
    const isUnchanged = isFailoverError(error) ? !error.outcomeUnknown : classifyR2Error(error).outcome === "caller";
    if (!isUnchanged) await forget(session, [key]);
    throw error;
  }
  await forget(session, [key]);
  return outcome;
}

/** Forgets what is cached of the keys. Never rejects. */
export async function forget({ service, state }: Session, keys: readonly string[]): Promise<void> {
  if (!isInUse(state)) return;
  for (const key of keys) rememberForgotten(state.cacheMemory, key, Date.now());
  const cache = await caches.open(CACHE_NAME);
  const gone = Promise.all(keys.map((key) => cache.delete(cacheUrl(service, key))));
  await within(gone, CACHE_TIMEOUT_MS, () => new Error("the cache does not answer")).catch(() => undefined);
}

/** What is cached of the key, as a `get` would answer. Null: nothing. Throws what R2 throws on bad options. */
export async function cachedObject(
  session: Session,
  key: string,
  options: R2GetOptions,
): Promise<(Body & Stale) | null> {
  if (options.ssecKey !== undefined) return null;
  const condition = plainCondition("get", options.onlyIf);
  const found = await find(session, key);
  if (found === null) return null;
  const { entry, response } = found;
  const { facts } = entry;
  const whole = { offset: 0, length: facts.size };
  if (!conditionHolds(condition, facts)) {
    await response.body?.cancel();
    return new CachedObject(entry, Date.now(), whole);
  }
  const range = resolveRange(options.range, facts.size);
  if (range.length === facts.size) {
    return new CachedObjectBody(entry, Date.now(), range, response.body ?? new Uint8Array());
  }
  await response.body?.cancel();
  const part = await find(session, key, { range: `bytes=${range.offset}-${range.offset + range.length - 1}` });
  if (part === null) return null;
  // Another entry may have come in between, or the whole in place of the part.
  if (part.response.status === 206 && part.entry.facts.version === facts.version && part.response.body !== null) {
    return new CachedObjectBody(entry, Date.now(), range, part.response.body);
  }
  await part.response.body?.cancel();
  return null;
}

/** What is cached of the key, as a `head` would answer. */
export async function cachedHead(session: Session, key: string): Promise<(R2Object & Stale) | null> {
  const found = await find(session, key);
  if (found === null) return null;
  await found.response.body?.cancel();
  const { entry } = found;
  return new CachedObject(entry, Date.now(), { offset: 0, length: entry.facts.size });
}

async function find(
  { service, state }: Session,
  key: string,
  headers: Record<string, string> = {},
): Promise<{ entry: CacheEntry; response: Response } | null> {
  if (!isInUse(state) || !key.isWellFormed()) return null;
  try {
    const cache = await caches.open(CACHE_NAME);
    const late = () => new Error("the cache does not answer");
    const request = new Request(cacheUrl(service, key), { headers });
    const response = await within(cache.match(request), CACHE_TIMEOUT_MS, late);
    const entry = response === undefined ? null : parseEntry(response.headers);
    return response === undefined || entry === null ? null : { entry, response };
  } catch {
    return null;
  }
}

/** An isolate that has never heard from its ServiceDO cannot know; what is cached tells that it was on. */
function isInUse(state: IsolateState): boolean {
  return state.snapshot === null || configOf(state).read_cache_max_bytes > 0;
}
