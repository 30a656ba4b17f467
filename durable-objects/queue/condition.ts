/** Decides the precondition of a put against the logical state of its key, once. */
import { conditionHolds } from "../../src/bucket/conditions";
import { classifyObject, fingerprintOf } from "../../src/bucket/ledger";
import type { EnqueueRequest, PlainCondition, Refusal } from "../../src/shared/protocol";
import type { OperationRow } from "./operation-row";
import { logicalState } from "./order";
import { headObject } from "./r2-calls";
import { conditionUnverifiable } from "./refusals";
import { clockOffset, type Shard } from "./shard";

export type Decision =
  /** R2 writes before `fenceAt` (our clock) are what the decision was made on; null: the ordinary fence. */
  | { readonly verdict: "passed"; readonly fenceAt: number | null }
  | { readonly verdict: "failed" }
  | { readonly verdict: "refused"; readonly refusal: Refusal };

const REFUSED: Decision = { verdict: "refused", refusal: conditionUnverifiable() };

/** What happens on the key while R2 is asked makes the question anew; after so many times somebody else is at it. */
const MAX_ROUNDS = 4;

export async function decideCondition(
  shard: Shard,
  request: EnqueueRequest,
  condition: PlainCondition,
  fingerprint: string | null,
): Promise<Decision> {
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const live = logicalState(shard, request.key);
    if (live === null && othersAreWriting(shard, request)) return REFUSED;
    if (live === null && !request.readable) return REFUSED;
    const askedAt = Date.now();
    let object: R2Object | null | undefined;
    if (request.readable) {
      try {
        object = await shard.steps.at("enqueue.decide", headObject(shard, request.key));
      } catch {
        // Not readable after all: what is pending decides alone, and without it nothing does.
        if (live === null) return REFUSED;
      }
    }
    if (logicalState(shard, request.key)?.id !== live?.id) continue;
    return decide(shard, request, condition, fingerprint, live, object, askedAt);
  }
  return REFUSED;
}

function decide(
  shard: Shard,
  request: EnqueueRequest,
  condition: PlainCondition,
  fingerprint: string | null,
  live: OperationRow | null,
  object: R2Object | null | undefined,
  askedAt: number,
): Decision {
  const ledger = shard.calls.ledger(request.key, clockOffset(shard));
  const seen =
    object === undefined || object === null
      ? null
      : { version: object.version, uploaded: object.uploaded, fingerprint: fingerprintOf(object) };
  const startedAt = request.directCall === null ? null : Date.now() - request.directCall.startedMsAgo;
  // The direct call did land and its reply was lost: R2 has decided.
  const ownCall = { fenceAt: 0, firstCallAt: startedAt, fingerprint };
  if (classifyObject(ownCall, seen, ledger) === "ours") {
    if (live === null) return { verdict: "passed", fenceAt: null };
    // What is queued came after that, since nothing was when this write was let through: it must not take its place.
    if (fingerprint !== null && startedAt !== null) shard.calls.rememberUnknownPut(request.key, fingerprint, startedAt);
    return REFUSED;
  }

  // A direct write that comes after this moment was not seen by the decision, and is not to be buried by it.
  const uploaded = (at: Date) => at.getTime() - clockOffset(shard);
  const passes = (holds: boolean, fenceAt: number | null): Decision =>
    holds ? { verdict: "passed", fenceAt } : { verdict: "failed" };

  if (live !== null) {
    const operation = { fenceAt: live.fence_at, firstCallAt: live.first_call_at, fingerprint: live.fingerprint };
    if (!(object && classifyObject(operation, seen, ledger) === "newer")) {
      const pending = live.operation_type === "DELETE" ? null : { etag: live.etag, uploaded: live.created_at };
      // Without a look at R2 the decision is on what is pending alone, and covers no more than that does.
      const fenceAt = object === undefined ? live.fence_at : Math.max(askedAt, live.fence_at);
      return passes(conditionHolds(condition, pending), fenceAt);
    }
  }
  if (object === undefined) return REFUSED;
  const known = object === null ? null : { etag: object.etag, uploaded: object.uploaded.getTime() };
  const fenceAt = Math.max(askedAt, object === null ? 0 : uploaded(object.uploaded) + 1);
  return passes(conditionHolds(condition, known), fenceAt);
}

/** Whether a call of somebody else's may yet change the key while nothing of it is in the queue. */
function othersAreWriting(shard: Shard, request: EnqueueRequest): boolean {
  const now = Date.now();
  return shard.calls
    .of(request.key)
    .some((call) => call.until > now && call.call_id !== request.ticket && call.call_id !== request.directCall?.callId);
}
