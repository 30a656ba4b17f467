/** Stores how a claimed operation ended. Synchronous, and only while the claim still stands. */
import { classifyR2Error } from "../../src/bucket/r2-errors";
import { SendAgainError } from "./apply-multipart";
import { maxRetries, park } from "./claim";
import type { Applied, Claim } from "./claimed";
import { LookError } from "./look";
import type { OperationRow } from "./operation-row";
import { end, release, settleKey } from "./order";
import { MissingKeyError, PayloadError } from "./payload-cipher";
import { backoffMs, isChargeable, isExhausted } from "./schedule";
import type { Shard } from "./shard";

/** How long an operation waits whose encryption key is not configured. */
const MISSING_KEY_MS = 60_000;
/** R2 takes one write a second per key; jittered, so that throttled operations do not come back together. */
const THROTTLED_MS = 1_000;
const POSTPONED = "An earlier call may yet reach R2.";
/** How long an operation rests whose end could not be stored. */
const BROKEN_MS = 5_000;

export function complete(shard: Shard, claim: Claim, applied: Applied): void {
  const row = stillClaimed(shard, claim);
  if (row === null) return;
  const { calls } = shard;
  const now = Date.now();
  calls.close(claim.lease);
  switch (applied.kind) {
    case "completed": {
      if (row.operation_type !== "DELETE") closeOwnCalls(shard, row);
      if (applied.version !== null) calls.rememberApplied(row.key, applied.version, now);
      end(shard, row, "COMPLETED", now);
      break;
    }
    case "superseded":
      end(shard, row, "SUPERSEDED", now);
      break;
    case "postponed":
      // Stored, or the next look at its key would schedule it for now, and it would be claimed for nothing until then.
      hold(shard, row, row.error_message ?? applied.why ?? POSTPONED, applied.until, now);
      break;
  }
  settleKey(shard, row.key, now);
}

export function fail(shard: Shard, claim: Claim, error: unknown, random: () => number): void {
  const row = stillClaimed(shard, claim);
  if (row === null) return;
  const { store, calls, link } = shard;
  const now = Date.now();
  const message = safeMessage(error);
  if (error instanceof MissingKeyError) {
    calls.close(claim.lease);
    hold(shard, row, message, now + MISSING_KEY_MS, now);
    settleKey(shard, row.key, now);
    return;
  }
  if (error instanceof PayloadError) {
    // Broken off by ourselves, its call cannot have landed: a body that ends early is refused.
    calls.close(claim.lease);
    park(shard, row, message, now);
    return;
  }
  if (error instanceof LookError) {
    // Nothing was written under this claim, or what was written has been answered.
    calls.close(claim.lease);
    const until = now + backoffMs(row.failure_count + 1, link.config.service.retry_delay_ms, random);
    store.recordFailure(row.id, {
      retryCount: row.retry_count,
      unchargedAt: row.uncharged_at,
      notBefore: until,
      error: message,
    });
    release(shard, row, until, now);
    settleKey(shard, row.key, now);
    return;
  }
  const verdict =
    error instanceof SendAgainError ? ({ outcome: "failure", answered: true } as const) : classifyR2Error(error);
  // Unanswered, the call may yet land: its claim stays outstanding, and its key untouched, until the fence.
  if (verdict.answered) calls.close(claim.lease);
  switch (verdict.outcome) {
    case "caller":
      park(shard, row, message, now);
      return;
    case "throttled":
      hold(shard, row, message, now + THROTTLED_MS * (1 + random()), now);
      break;
    case "failure": {
      const charged = row.retry_count + (isChargeable(row, link.evidenceAt) ? 1 : 0);
      if (isExhausted(charged, maxRetries(shard, row))) {
        park(shard, row, message, now);
        return;
      }
      const notBefore = now + backoffMs(row.failure_count + 1, link.config.service.retry_delay_ms, random);
      store.recordFailure(row.id, { retryCount: charged, unchargedAt: now, notBefore, error: message });
      release(shard, row, notBefore, now);
      break;
    }
  }
  settleKey(shard, row.key, now);
}

function stillClaimed(shard: Shard, claim: Claim): OperationRow | null {
  if (!shard.store.isClaimed(claim.row.id, claim.lease)) return null;
  return shard.store.byOperationId(claim.row.operation_id);
}

/**
 * A put is not written while an earlier call of its own may yet land, and an upload is completed only once, so what R2
 * holds now is where they ended. A delete is written: an earlier call that lands after it would take what is written next, so its key is left alone until the fence.
 */
function closeOwnCalls({ calls }: Shard, row: OperationRow): void {
  for (const call of calls.of(row.key)) if (call.operation_id === row.operation_id) calls.close(call.call_id);
}

/** Its end could not be stored: it is looked at again, and R2 first of all. */
export function giveBack(shard: Shard, claim: Claim): void {
  const row = stillClaimed(shard, claim);
  const now = Date.now();
  if (row !== null) release(shard, row, now + BROKEN_MS, now);
}

/** Waits for something that is not the operation's fault. */
function hold(shard: Shard, row: OperationRow, error: string, until: number, now: number): void {
  shard.store.note(row.id, error, until);
  release(shard, row, until, now);
}

/** R2's own words are safe to show; anything else is an internal matter. */
function safeMessage(error: unknown): string {
  return error instanceof Error ? error.message.slice(0, 500) : "unknown error";
}
