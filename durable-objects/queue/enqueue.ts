/**
 * Takes a write in: receive, decide, accept, announce.
 *
 * Nothing is acknowledged before its operation and its chunks are committed, together, in `accept`. Dying before that
 * leaves at most a receipt, which the next incarnation gives up. Dying after it leaves a queued operation whose caller
 * was not told: the same id, sent again, is answered with it.
 */
import { fingerprintOf } from "../../src/bucket/ledger";
import { hashKey } from "../../src/shared/keys";
import type { EnqueueReply, EnqueueRequest, Refusal } from "../../src/shared/protocol";
import { type Admission, admit, roomProblem } from "./capacity";
import { type Decision, decideCondition } from "./condition";
import { algorithmsOf, digestPayload } from "./digests";
import { type SealedMetadata, sealMetadata } from "./metadata";
import { type OperationRow, storedOf } from "./operation-row";
import { accept, quarantine } from "./order";
import type { Payload } from "./payload";
import { NoRoomError, type Received, receive } from "./receive";
import { badDigest, beingReceived, idReused, ssecNeedsEncryption, wrongSize } from "./refusals";
import { requestProblem } from "./request-problem";
import { score } from "./schedule";
import type { Shard } from "./shard";

const UNCONDITIONAL: Decision = { verdict: "passed", fenceAt: null };

export async function enqueue(shard: Shard, request: EnqueueRequest, body: Payload | null): Promise<EnqueueReply> {
  const { store, payloads, cipher } = shard;
  const { operationId } = request;
  const problem = requestProblem(request, body);
  if (problem !== null) return refuse(shard, request, problem);
  if (request.metadata?.ssecKey && !cipher.encrypts) return refuse(shard, request, ssecNeedsEncryption());

  const earlier = store.byOperationId(operationId);
  if (earlier !== null) return repeat(shard, request, body, earlier);
  // Before anything is received, so that a key that cannot be used leaves nothing behind.
  const sealed = await shard.steps.at("enqueue.seal", sealMetadata(cipher, request.metadata, operationId));
  const expected = body instanceof Uint8Array ? body.byteLength : (request.size ?? 0);
  const admission = await shard.steps.at("enqueue.reserve", admit(shard, hashKey(request.key), expected));
  if (admission === null) return refuse(shard, request, roomProblem(shard, expected));
  try {
    // The same operation may have come a second time meanwhile.
    const known = store.byOperationId(operationId);
    if (known !== null) return await repeat(shard, request, body, known);
    if (payloads.isReceiving(operationId)) return refuse(shard, request, beingReceived());
    return await take(shard, request, body, sealed, admission);
  } finally {
    admission.close();
  }
}

async function take(
  shard: Shard,
  request: EnqueueRequest,
  body: Payload | null,
  sealed: SealedMetadata,
  admission: Admission,
): Promise<EnqueueReply> {
  const { store, payloads, link } = shard;
  const { operationId, metadata } = request;
  let received: Received | null = null;
  if (body !== null) {
    try {
      received = await receive(shard, operationId, request.key, algorithmsOf(metadata), body, admission);
    } catch (error) {
      if (!(error instanceof NoRoomError)) throw error;
      return refuse(shard, request, roomProblem(shard, error.size));
    }
  }
  const unfit = received === null ? null : receivedProblem(request, received);
  if (unfit !== null) return refuse(shard, request, unfit, received);

  const { condition } = request;
  const print = fingerprint(request, received);
  const decision: Decision =
    condition === null ? UNCONDITIONAL : await decideCondition(shard, request, condition, print);

  // From here to the end of `accept` nothing awaits: the operation, its chunks and its place commit together.
  const twin = store.byOperationId(operationId);
  if (twin !== null) return answer(shard, request, twin, print);
  if (received?.inline && payloads.isReceiving(operationId)) return refuse(shard, request, beingReceived());
  if (decision.verdict === "refused") return refuse(shard, request, decision.refusal, received);
  if (decision.verdict === "failed") {
    abandon(shard, request, received);
    return { ok: true, verdict: "condition_failed" };
  }
  const row = commit(shard, request, received, sealed, decision.fenceAt);
  admission.close();
  shard.changed();
  await shard.steps.at("enqueue.confirm", link.confirm());
  return { ok: true, verdict: "queued", stored: storedOf(row), shard: link.view };
}

function commit(
  shard: Shard,
  request: EnqueueRequest,
  received: Received | null,
  sealed: SealedMetadata,
  fenceAt: number | null,
): OperationRow {
  const { payloads, calls } = shard;
  const now = Date.now();
  if (received?.inline) {
    payloads.clear(request.operationId);
    if (received.size > 0) payloads.write(request.operationId, 0, received.inline);
  } else {
    payloads.closeReceipt(request.operationId);
  }
  if (request.ticket !== null) calls.close(request.ticket);
  if (request.precededBy) calls.rememberOlder(request.key, request.precededBy, now);
  return accept(
    shard,
    {
      operationId: request.operationId,
      type: request.kind === "put" ? "UPLOAD" : "DELETE",
      payload: sealed.text,
      priority: request.priority,
      maxRetries: request.maxRetries,
      userId: request.userId,
      fileId: request.fileId,
      key: request.key,
      keyId: sealed.keyId,
      now,
      score: score(now, request.priority),
      // R2 rounds down to whole milliseconds: what it got in this one came before.
      fenceAt: fenceAt ?? now + 1,
      firstCallAt: request.directCall === null ? null : now - request.directCall.startedMsAgo,
      needsEpoch: 0,
      size: received?.size ?? 0,
      heldBytes: received?.size ?? 0,
      etag: received?.checksums.md5 ?? "",
      checksums: JSON.stringify(received?.checksums ?? {}),
      fingerprint: fingerprint(request, received),
      uploadId: null,
    },
    request.directCall,
  );
}

function fingerprint(request: EnqueueRequest, received: { size: number; checksums: { md5: string } } | null) {
  if (request.kind === "delete" || received === null) return null;
  return fingerprintOf({ ...request.metadata, etag: received.checksums.md5, size: received.size });
}

/** The same id again: the same answer, if it is the same write. */
async function repeat(
  shard: Shard,
  request: EnqueueRequest,
  body: Payload | null,
  known: OperationRow,
): Promise<EnqueueReply> {
  if (body === null) return answer(shard, request, known, null);
  const { size, md5 } = await shard.steps.at("enqueue.digest", digestPayload(body));
  return answer(shard, request, known, fingerprint(request, { size, checksums: { md5 } }));
}

function answer(shard: Shard, request: EnqueueRequest, known: OperationRow, print: string | null): EnqueueReply {
  const type = request.kind === "put" ? "UPLOAD" : "DELETE";
  if (known.key !== request.key || known.operation_type !== type || known.fingerprint !== print) {
    return refuse(shard, request, idReused());
  }
  return { ok: true, verdict: "queued", stored: storedOf(known), shard: shard.link.view };
}

function refuse(shard: Shard, request: EnqueueRequest, why: Refusal, received: Received | null = null): Refusal {
  abandon(shard, request, received);
  return why;
}

/** Nothing is queued: what was received is let go. A call that may yet land keeps its key quarantined all the same. */
function abandon(shard: Shard, request: EnqueueRequest, received: Received | null): void {
  if (received !== null && received.inline === null) {
    shard.payloads.closeReceipt(request.operationId);
    shard.payloads.free(request.operationId, received.size);
  }
  if (request.directCall !== null) {
    quarantine(shard, request.key, fingerprint(request, received), request.directCall, Date.now());
  }
  shard.changed();
}

function receivedProblem(request: EnqueueRequest, received: Received): Refusal | null {
  if (request.size !== null && request.size !== received.size) return wrongSize(request.size, received.size);
  const given = request.metadata?.checksum;
  const computed = given ? received.checksums[given.algorithm] : undefined;
  return given && computed !== undefined && computed !== given.hex
    ? badDigest(given.algorithm, given.hex, computed)
    : null;
}
