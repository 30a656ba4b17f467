/** What operators do to single operations: cancel, retry, redrive. */
import type { Answer, Refusal } from "../../src/shared/protocol";
import { type Actor, type EventType, type OperationRecord, recordedEvent } from "../../src/shared/records";
import { maxRetries } from "./claim";
import { classify } from "./look";
import { type OperationRow, recordOf } from "./operation-row";
import { end, operationData, settleKey } from "./order";
import { headObject } from "./r2-calls";
import { refusal } from "./refusals";
import { score } from "./schedule";
import type { Shard } from "./shard";

const REDRIVE_PAGE = 100;

export function cancel(shard: Shard, id: string, by: Actor): Answer<{ operation: OperationRecord }> {
  const row = shard.store.byOperationId(id);
  if (row === null) return notFound();
  if (row.status === "PROCESSING") return beingWritten();
  if (row.phase === "final") return isFinal(row);
  const now = Date.now();
  end(shard, row, "CANCELLED", now);
  settleKey(shard, row.key, now);
  record(shard, "OPERATION_CANCELLED", by, operationData(row, now));
  shard.changed();
  return operation(shard, id);
}

/** A dead letter is driven anew; a waiting operation is tried at once. */
export async function retry(
  shard: Shard,
  id: string,
  force: boolean,
  by: Actor,
): Promise<Answer<{ operation: OperationRecord }>> {
  const row = shard.store.byOperationId(id);
  if (row === null) return notFound();
  if (row.phase === "final") return isFinal(row);
  if (row.status === "FAILED") {
    const outcome = await redriveOne(shard, row, force);
    if (outcome === "changed") return changedSince();
  } else {
    shard.store.hurry(row.id, Date.now());
    settleKey(shard, row.key, Date.now());
  }
  record(shard, "OPERATION_RETRIED", by, { operation_id: id, force });
  shard.changed();
  return operation(shard, id);
}

export async function redrive(shard: Shard, force: boolean, by: Actor): Promise<{ redriven: number; changed: number }> {
  const counts = { redriven: 0, changed: 0 };
  for (let after = 0; ; ) {
    const rows = shard.store.parkedAfter(after, REDRIVE_PAGE);
    for (const row of rows) {
      after = row.id;
      const outcome = await redriveOne(shard, row, force);
      if (outcome !== "gone") counts[outcome] += 1;
    }
    if (rows.length < REDRIVE_PAGE) break;
  }
  if (counts.redriven > 0) record(shard, "QUEUE_REDRIVEN", by, { ...counts, force });
  shard.changed();
  return counts;
}

/**
 * A dead letter keeps its place in time: what came to its key since is newer. `force` moves it to now. When R2 cannot
 * be asked it is driven all the same: its fence decides when it is applied.
 */
async function redriveOne(shard: Shard, row: OperationRow, force: boolean): Promise<"redriven" | "changed" | "gone"> {
  if (!force && (await hasChanged(shard, row))) return "changed";
  const current = shard.store.byOperationId(row.operation_id);
  if (current === null || current.status !== "FAILED") return "gone";
  const now = Date.now();
  shard.store.redrive(current, force ? now + 1 : null, score(now, current.priority), now);
  shard.link.usageChanged();
  settleKey(shard, current.key, now);
  return "redriven";
}

async function hasChanged(shard: Shard, row: OperationRow): Promise<boolean> {
  let seen: R2Object | null;
  try {
    seen = await headObject(shard, row.key, true);
  } catch {
    return false;
  }
  return classify(shard, row, seen) === "newer";
}

function operation(shard: Shard, id: string): Answer<{ operation: OperationRecord }> {
  const row = shard.store.byOperationId(id);
  return row === null ? notFound() : { ok: true, operation: recordOf(row, shard.service, maxRetries(shard, row)) };
}

function record(shard: Shard, type: EventType, by: Actor, data: Record<string, unknown>): void {
  const actor = { actor: by.actor, request_id: by.requestId };
  shard.meta.addEvent(recordedEvent(type, "INFO", { ...data, ...actor }, Date.now()));
}

const notFound = (): Refusal => refusal("NOT_FOUND", "No operation has this id, or it was swept after its retention.");
const beingWritten = (): Refusal =>
  refusal("SERVICE_UNAVAILABLE", "The operation is being written to R2 right now. Ask again in a moment.", 1);
const isFinal = (row: OperationRow): Refusal =>
  refusal("OPERATION_FINAL", `The operation has ended: ${row.status}. Write the object again instead.`);
const changedSince = (): Refusal =>
  refusal("CHANGED_SINCE", "The key has been written since. Use force to write the dead letter over it.");
