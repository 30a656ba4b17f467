/**
 * What one isolate remembers of its dealings with the read cache, by key: so that a hot object is not stored at every
 * read, and so that a read which began before a write does not store what the write has made old. Pure.
 */

/** What was stored, or forgotten, less than this ago is not stored, or forgotten, again. */
const REPEAT_AFTER_MS = 60_000;
const MAX_KEYS = 1_000;

interface Dealing {
  /** The version that was stored; null: the key was forgotten. */
  readonly version: string | null;
  readonly at: number;
  /** The latest moment (see `now`) at which the key was forgotten. */
  readonly forgottenAt: number;
}

export interface CacheMemory {
  /** Counts how often anything was forgotten: a time that two events never share. */
  now: number;
  /** Oldest first: a Map keeps the order in which its keys came. */
  readonly dealings: Map<string, Dealing>;
  /** The latest `forgottenAt` of the keys that had to give way. */
  lostAt: number;
}

export function createCacheMemory(): CacheMemory {
  return { now: 0, dealings: new Map(), lostAt: 0 };
}

/** Whether what was read of the key at `readAt` (of `memory.now`) is not known to be older than a write. */
export function isCurrent(memory: CacheMemory, key: string, readAt: number): boolean {
  return memory.lostAt <= readAt && (memory.dealings.get(key)?.forgottenAt ?? 0) <= readAt;
}

/** Whether the version, or with null the absence of the object, has not been dealt with lately. */
export function isNews(memory: CacheMemory, key: string, version: string | null, now: number): boolean {
  const last = memory.dealings.get(key);
  return last === undefined || last.version !== version || now - last.at >= REPEAT_AFTER_MS;
}

export function rememberStored(memory: CacheMemory, key: string, version: string, now: number): void {
  remember(memory, key, { version, at: now, forgottenAt: memory.dealings.get(key)?.forgottenAt ?? 0 });
}

export function rememberForgotten(memory: CacheMemory, key: string, now: number): void {
  memory.now += 1;
  remember(memory, key, { version: null, at: now, forgottenAt: memory.now });
}

function remember(memory: CacheMemory, key: string, dealing: Dealing): void {
  const { dealings } = memory;
  dealings.delete(key);
  dealings.set(key, dealing);
  if (dealings.size <= MAX_KEYS) return;
  for (const [oldest, { forgottenAt }] of dealings) {
    memory.lostAt = Math.max(memory.lostAt, forgottenAt);
    dealings.delete(oldest);
    return;
  }
}
