/** Chooses what is applied next. Synchronous: an operation is claimed, parked or put off in one commit. */
import { FENCE_MARGIN_MS } from "../../src/shared/fence";
import { recordedEvent } from "../../src/shared/records";
import type { Claim } from "./claimed";
import type { OperationRow } from "./operation-row";
import { end, operationData, settleKey } from "./order";
import { unfencedFrom, writeDeadlineMs } from "./r2-calls";
import { blockedUntil, isChargeable, isExhausted, ownCallUntil } from "./schedule";
import type { Shard } from "./shard";

/** Dead letters have a bound of their own; over it an operation stays pending and is tried this seldom. */
const NO_DEAD_LETTER_ROOM_MS = 300_000;

/** Claims up to `limit` of the ready operations in order of their score. */
export function claimReady(shard: Shard, limit: number): Claim[] {
  const claims: Claim[] = [];
  for (const row of shard.store.ready(limit)) {
    const claim = claimOne(shard, row, Date.now());
    if (claim !== null) claims.push(claim);
  }
  return claims;
}

function claimOne(shard: Shard, row: OperationRow, now: number): Claim | null {
  const { store, calls, link } = shard;
  if (isChargeable(row, link.evidenceAt)) {
    store.charge(row.id);
    if (isExhausted(row.retry_count + 1, maxRetries(shard, row))) {
      park(shard, row, row.error_message ?? "R2 refuses this write while it takes others.", now);
      return null;
    }
  }
  const outstanding = calls.of(row.key);
  const putOff = Math.max(
    row.not_before,
    blockedUntil(outstanding, row.operation_id, now),
    row.operation_type === "DELETE" ? unfencedFrom(shard, row, now) : 0,
  );
  if (putOff > now) {
    store.schedule(row.id, putOff);
    return null;
  }
  const lease = crypto.randomUUID();
  const own = ownCallUntil(outstanding, row.operation_id, now);
  const verifies =
    outstanding.some((call) => call.kind === "direct") || calls.ledger(row.key, 0).unknownPuts.length > 0;
  store.claim(row, lease, now, row.operation_type === "UPLOAD");
  calls.open({
    call_id: lease,
    key: row.key,
    kind: "drain",
    operation_id: row.operation_id,
    // The parts of an upload do not change the key; before it is completed its claim is renewed.
    until: now + writeDeadlineMs(shard, row.operation_type === "UPLOAD" ? row.size : 0) + FENCE_MARGIN_MS,
  });
  return { row, lease, looksFirst: row.first_call_at !== null, ownCallUntil: own, verifies };
}

/** A claim for which no call was made is as if it had never been. A successor that has come meanwhile ends the operation. */
export function unclaim(shard: Shard, { row, lease }: Claim, now: number): void {
  const { store, calls } = shard;
  if (!store.isClaimed(row.id, lease)) return;
  calls.close(lease);
  store.unclaim(row);
  if (store.hasSuccessor(row)) end(shard, row, "SUPERSEDED", now);
  settleKey(shard, row.key, now);
}

export function maxRetries(shard: Shard, row: OperationRow): number {
  return row.max_retries ?? shard.link.config.service.max_retries;
}

/** Makes a dead letter, or leaves the operation pending when there is no room for one. A successor ends it instead. */
export function park(shard: Shard, row: OperationRow, error: string, now: number): void {
  const { store, link, meta } = shard;
  if (store.hasSuccessor(row)) {
    end(shard, row, "SUPERSEDED", now);
  } else if (store.deadLetters >= deadLetterShare(shard)) {
    // Noted as well as scheduled, or the next look at its key would schedule it for now, and R2 be asked without end.
    store.note(row.id, error, now + NO_DEAD_LETTER_ROOM_MS);
    store.release(row, now + NO_DEAD_LETTER_ROOM_MS, now);
  } else {
    store.park(row, error, now);
    link.usageChanged();
    meta.addEvent(recordedEvent("OPERATION_DEAD_LETTERED", "ERROR", { ...operationData(row, now), error }, now));
  }
  settleKey(shard, row.key, now);
}

function deadLetterShare(shard: Shard): number {
  const { max_dead_letters } = shard.link.config.queue;
  return Math.ceil(max_dead_letters / (shard.link.terms?.shardCount ?? 1));
}
