/**
 * The order of a key's operations. Everything here is synchronous: what one of these functions changes commits whole.
 */
import { hashKey } from "../../src/shared/keys";
import type { DirectCall } from "../../src/shared/protocol";
import { recordedEvent } from "../../src/shared/records";
import { endUploadOf } from "./end-upload";
import type { OperationRow } from "./operation-row";
import type { NewOperation } from "./queue-store";
import { blockedUntil } from "./schedule";
import type { Shard } from "./shard";

/** An operation takes its place: it supersedes what waits on its key, and the shard becomes busy for it. */
export function accept(shard: Shard, operation: NewOperation, directCall: DirectCall | null): OperationRow {
  const { store, calls, link } = shard;
  const { key, now } = operation;
  for (const row of store.liveOf(key)) {
    // What is on its way to R2 ends by itself; this one is applied after it.
    if (row.phase !== "claimed") end(shard, row, "SUPERSEDED", now);
  }
  link.widen(hashKey(key));
  store.insert({ ...operation, needsEpoch: link.epoch });
  if (directCall !== null && directCall.fenceInMs > 0) {
    calls.open({
      call_id: directCall.callId,
      key,
      kind: "direct",
      operation_id: operation.operationId,
      until: now + directCall.fenceInMs,
    });
  }
  settleKey(shard, key, now);
  link.usageChanged();
  const row = store.byOperationId(operation.operationId);
  if (row === null) throw new Error(`operation ${operation.operationId} is not there after its insert`);
  return row;
}

/** What an event says of an operation. */
export function operationData(row: OperationRow, now: number): Record<string, unknown> {
  const { operation_id, operation_type, key, size, user_id, retry_count, created_at } = row;
  return { operation_id, operation_type, key, size, user_id, retry_count, age_ms: now - created_at };
}

/** The final state of an operation: its payload is let go, and what it may still do to R2 is remembered. */
export function end(
  shard: Shard,
  row: OperationRow,
  status: "COMPLETED" | "CANCELLED" | "SUPERSEDED",
  now: number,
): void {
  const { store, calls, payloads, pins, link, meta } = shard;
  if (status !== "COMPLETED" && row.first_call_at !== null && row.fingerprint !== null) {
    calls.rememberUnknownPut(row.key, row.fingerprint, row.first_call_at);
  }
  store.finish(row, status, now);
  // What is cancelled is recorded with who did it.
  if (status !== "CANCELLED") meta.addEvent(recordedEvent(`OPERATION_${status}`, "INFO", operationData(row, now), now));
  if (row.operation_type === "MULTIPART_UPLOAD") endUploadOf(shard, row, status === "COMPLETED", now);
  else payloads.free(row.operation_id, pins.isPinned(row.operation_id) ? Number.POSITIVE_INFINITY : row.size);
  link.usageChanged();
}

/** A claim is given back: among the pending again, unless a newer operation has taken its place meanwhile. */
export function release(shard: Shard, row: OperationRow, at: number, now: number): void {
  if (shard.store.hasSuccessor(row)) end(shard, row, "SUPERSEDED", now);
  else shard.store.release(row, at, now);
}

/** A write was refused although its call may yet land: nothing is applied to the key until its fence has passed. */
export function quarantine(shard: Shard, key: string, fingerprint: string | null, call: DirectCall, now: number): void {
  if (call.fenceInMs <= 0) return;
  const { calls, link } = shard;
  link.widen(hashKey(key));
  calls.open({ call_id: call.callId, key, kind: "direct", operation_id: null, until: now + call.fenceInMs });
  if (fingerprint !== null) calls.rememberUnknownPut(key, fingerprint, now - call.startedMsAgo);
  settleKey(shard, key, now);
}

/** After anything has changed on a key: its waiting operation is scheduled anew. */
export function settleKey(shard: Shard, key: string, now: number): void {
  const { store, calls } = shard;
  const waiting = store.liveOf(key).filter((row) => row.status === "PENDING");
  if (waiting.length === 0) return;
  const outstanding = calls.of(key);
  for (const row of waiting) {
    const at = Math.max(row.not_before, blockedUntil(outstanding, row.operation_id, now));
    if (at > now || row.phase === "waiting") store.schedule(row.id, Math.max(at, now));
  }
}

/** The operation that is the logical state of a key: the newest that is pending, in work or parked. */
export function logicalState(shard: Shard, key: string): OperationRow | null {
  return shard.store.liveOf(key).at(-1) ?? null;
}
