/**
 * The drain budget: how many operations all shards together may have in flight. Pure.
 *
 * After a circuit has closed it starts at one, and doubles with each round of success (as many outcomes as its level):
 * a service that has just come back meets no stampede. A round that fails at a rate of 50 % or more halves it; one
 * operation that keeps failing among others does not.
 */
export interface Budget {
  level: number;
  /** Outcomes of this round. */
  success: number;
  failure: number;
  /** What each shard may have in flight. A timestamp ends it, so that a shard that died gives it back. */
  readonly grants: Map<number, { readonly concurrency: number; readonly expiresAt: number }>;
  /** Shards that were sent away, since when, and when they last asked. */
  readonly waiting: Map<number, { readonly since: number; readonly askedAt: number }>;
}

export interface Grant {
  readonly concurrency: number;
  readonly operations: number;
  readonly retryMs: number;
}

/** Simultaneous outgoing connections of one object. */
const CONCURRENCY_PER_SHARD = 6;
/** Twice as long as a shard uses one before it asks again. */
const GRANT_MS = 10_000;
const FAILING_SHARE = 0.5;
/** Few operations a grant while the level climbs, so that each round is heard of soon; many at the top, where asking is a cost. */
const ROUNDS_CLIMBING = 8;
const ROUNDS_AT_TOP = 64;
const RETRY_MS = 100;
/** A shard that has not asked again for this long has no more need. */
const WAITING_MS = 2_000;
const IDLE_MS = 1_000;

export function topLevel(shardCount: number): number {
  return CONCURRENCY_PER_SHARD * shardCount;
}

export function createBudget(level: number): Budget {
  return { level, success: 0, failure: 0, grants: new Map(), waiting: new Map() };
}

/** A circuit has closed: climb from the bottom. Grants from before it opened are void. */
export function restartBudget(budget: Budget): void {
  budget.level = 1;
  budget.success = 0;
  budget.failure = 0;
  budget.grants.clear();
}

export function recordRound(budget: Budget, counts: { success: number; failure: number }, top: number): void {
  budget.success += counts.success;
  budget.failure += counts.failure;
  const outcomes = budget.success + budget.failure;
  if (outcomes < budget.level || outcomes === 0) return;
  const isFailing = budget.failure >= FAILING_SHARE * outcomes;
  budget.level = isFailing ? Math.max(1, Math.floor(budget.level / 2)) : Math.min(top, budget.level * 2);
  budget.success = 0;
  budget.failure = 0;
}

/** What a shard may do that has `ready` operations. To ask is to have finished with the grant before. */
export function grant(budget: Budget, shard: number, ready: number, top: number, now: number): Grant {
  forget(budget, shard, now);
  if (ready === 0) {
    budget.waiting.delete(shard);
    return { concurrency: 0, operations: 0, retryMs: IDLE_MS };
  }
  const since = budget.waiting.get(shard)?.since ?? now;
  const level = Math.min(budget.level, top);
  let free = level;
  for (const held of budget.grants.values()) free -= held.concurrency;
  // A shard that has waited for longer comes first: else the one that asks most often would have it all.
  const ahead = [...budget.waiting].filter(([other, wait]) => other !== shard && wait.since < since).length;
  const contenders = new Set([...budget.grants.keys(), ...budget.waiting.keys(), shard]).size;
  const share = Math.max(1, Math.ceil(level / contenders));
  const concurrency = Math.min(CONCURRENCY_PER_SHARD, ready, share, free - ahead);
  if (concurrency < 1) {
    budget.waiting.set(shard, { since, askedAt: now });
    return { concurrency: 0, operations: 0, retryMs: RETRY_MS };
  }
  budget.waiting.delete(shard);
  budget.grants.set(shard, { concurrency, expiresAt: now + GRANT_MS });
  const rounds = level < top ? ROUNDS_CLIMBING : ROUNDS_AT_TOP;
  return { concurrency, operations: concurrency * rounds, retryMs: RETRY_MS };
}

function forget(budget: Budget, shard: number, now: number): void {
  budget.grants.delete(shard);
  for (const [other, held] of budget.grants) if (held.expiresAt <= now) budget.grants.delete(other);
  for (const [other, wait] of budget.waiting) if (now - wait.askedAt > WAITING_MS) budget.waiting.delete(other);
}
