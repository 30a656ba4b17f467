/** Puts: to R2 while it takes them, else to the queue. */
import { waitUntil } from "cloudflare:workers";
import { operationId, shardOf } from "../shared/keys";
import type { PlainCondition, PutMetadata } from "../shared/protocol";
import { type Admission, admit, mayAdmitOrCount } from "./admission";
import { ask } from "./ask";
import { isConditional, plainCondition } from "./conditions";
import { callR2, type R2Result } from "./direct-call";
import { enqueue, type QueuedWrite } from "./enqueue";
import { shardCount } from "./isolate-service";
import { isBusy, isQuarantined, isTrusted } from "./isolate-state";
import { rememberOwnWrite } from "./own-writes";
import { checkKey, putMetadata } from "./put-options";
import { QueuedObject } from "./queued-object";
import { checkOptions, textOf } from "./r2-arguments";
import { forgetting } from "./read-cache";
import { prepare, refuseWhenReadOnly, type Session, unavailable } from "./session";
import { QueueUnreachableError, refused } from "./shard-call";
import { queueStub } from "./stubs";
import { type PutValue, type WriteBody, writeBody } from "./write-body";
import { type CheckedWriteOptions, checkWriteOptions, type WriteOptions } from "./write-options";
import type { PutOutcome } from "./write-outcome";

const FENCED_TRIES = 3;

/** A put on its way: R2's own options, and ours. */
interface Put {
  readonly key: string;
  readonly body: WriteBody;
  readonly r2: R2PutOptions;
  readonly own: CheckedWriteOptions;
}

/**
 * Writes an object. Rejects with the caller's own errors as R2 throws them, or with a `FailoverError`: then nothing is
 * acknowledged.
 */
export async function write(
  session: Session,
  givenKey: string,
  value: PutValue,
  options: R2PutOptions & WriteOptions,
): Promise<PutOutcome> {
  const key = textOf(givenKey);
  checkOptions("put", options);
  const {
    operationId: _id,
    priority: _priority,
    userId: _user,
    fileId: _file,
    maxRetries: _max,
    size,
    ...r2
  } = options;
  const own = checkWriteOptions(options);
  const condition = plainCondition("put", r2.onlyIf);
  const body = await writeBody(value, size);
  try {
    await prepare(session, "write");
    refuseWhenReadOnly(session);
    const put = { key, body, r2, own };
    return await forgetting(session, key, () =>
      isConditional(condition) ? writeConditionally(session, put, condition) : writeUnconditionally(session, put),
    );
  } finally {
    body.release();
  }
}

async function writeUnconditionally(session: Session, put: Put): Promise<PutOutcome> {
  const { state } = session;
  const now = Date.now();
  // Of these keys R2 does not hold the last word, or it must not be heard before the queue.
  const isBehindQueue = isBusy(state, put.key) || isQuarantined(state, put.key, now);
  const isPastCap = state.snapshot !== null && !isTrusted(state, now);
  if (isBehindQueue) return queued(session, queuedWrite(put));
  if (isPastCap) {
    try {
      return await queued(session, queuedWrite(put));
    } catch (error) {
      // Nobody can be asked any more: only R2 is left.
      if (!(error instanceof QueueUnreachableError) || !put.body.canReplay) throw error;
    }
  }
  const admission = admit(state, "write", Date.now());
  if (!admission.admitted) return queued(session, queuedWrite(put));
  return writeDirectly(session, put, admission);
}

/** The fence never refuses a live call, and refuses one that was given up and lands after it. */
async function writeDirectly(
  session: Session,
  put: Put,
  admission: Admission & { admitted: true },
): Promise<PutOutcome> {
  const { r2, state } = session;
  for (let tries = 1; ; tries += 1) {
    const result = await callR2(session, {
      method: "put",
      permit: admission.permit,
      body: put.body,
      check: () => void putMetadata(put.r2),
      send: (clock, giveUpAt) => {
        const uploadedBefore = new Date(giveUpAt + (state.snapshot?.clockOffsetMs ?? 0));
        return r2.put(put.key, put.body.forR2(clock), { ...put.r2, onlyIf: { uploadedBefore } });
      },
    });
    if (result.kind === "failed") return queued(session, { ...queuedWrite(put), failed: result.call });
    if (result.value !== null) return stored(session, result.value);
    // The source took longer than the fence, and somebody else has written meanwhile.
    if (tries === FENCED_TRIES || !put.body.canReplay) {
      throw unavailable("Another write overtook this one while its body was being sent. Nothing was written.");
    }
  }
}

async function writeConditionally(session: Session, put: Put, condition: PlainCondition): Promise<PutOutcome> {
  const { env, service, state, r2 } = session;
  checkKey("put", put.key);
  if (!mayAdmitOrCount(state, "write", Date.now())) return queued(session, { ...queuedWrite(put), condition });
  const shards = await shardCount(env, service);
  const shard = shardOf(put.key, shards);
  const items = [{ key: put.key, operationId: operationId(put.key, shards, put.own.clientPart()) }];
  const { verdicts } = await ask(session, shard, { kind: "conditional_put", items, writable: true }, put.own);
  const [verdict] = verdicts;
  if (verdict?.verdict === "refused") throw refused(verdict.refusal);
  if (verdict?.verdict !== "direct") return queued(session, { ...queuedWrite(put), condition });
  const { ticket } = verdict;
  const admission = admit(state, "write", Date.now());
  if (!admission.admitted) return queued(session, { ...queuedWrite(put), condition, ticket });

  const settle = (outcome: "landed" | "refused") =>
    waitUntil(
      queueStub(env, service, shard)
        .settle(ticket, outcome)
        .catch(() => undefined),
    );
  let result: R2Result<R2Object | null>;
  try {
    result = await callR2(session, {
      method: "put",
      permit: admission.permit,
      body: put.body,
      check: () => void putMetadata(put.r2),
      send: (clock) => r2.put(put.key, put.body.forR2(clock), put.r2),
    });
  } catch (error) {
    settle("refused");
    throw error;
  }
  if (result.kind === "failed") {
    return queued(session, { ...queuedWrite(put), condition, ticket, failed: result.call });
  }
  settle(result.value === null ? "refused" : "landed");
  return result.value === null ? { kind: "condition_failed" } : stored(session, result.value);
}

function stored({ state }: Session, object: R2Object): PutOutcome {
  rememberOwnWrite(state.ownWrites, object.key, object.version, Date.now());
  return { kind: "stored", object };
}

async function queued(session: Session, write: QueuedWrite & { put: { metadata: PutMetadata } }): Promise<PutOutcome> {
  const reply = await enqueue(session, write);
  if (reply.verdict === "condition_failed") return { kind: "condition_failed" };
  const { stored } = reply;
  session.state.failovers.queuedWrites += 1;
  return { kind: "queued", object: new QueuedObject(stored, write.put.metadata), operation: stored };
}

function queuedWrite(put: Put): QueuedWrite & { put: { metadata: PutMetadata } } {
  return { key: put.key, options: put.own, put: { body: put.body, metadata: putMetadata(put.r2) } };
}
