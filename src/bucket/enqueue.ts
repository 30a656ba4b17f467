/** The way into the queue: what R2 did not take is stored by the shard of its key, or refused. */
import { waitUntil } from "cloudflare:workers";
import { FailoverError } from "../shared/errors";
import { operationId, shardOf } from "../shared/keys";
import type { EnqueueReply, EnqueueRequest, PlainCondition, PutMetadata, Refusal } from "../shared/protocol";
import { mayAdmit } from "./admission";
import { withDeadline } from "./deadline";
import { directCall, type FailedCall } from "./direct-call";
import { shardCount } from "./isolate-service";
import { quarantine, takeShard } from "./isolate-state";
import { fingerprintOf } from "./ledger";
import { followOwnWrite, ownWrite } from "./own-writes";
import { checkKey } from "./put-options";
import type { Session } from "./session";
import { isRetryable, queueStub } from "./stubs";
import type { WriteBody } from "./write-body";
import type { CheckedWriteOptions } from "./write-options";

const ENQUEUE_TIMEOUT_MS = 10_000;
const RETRY_AFTER_S = 2;

export interface QueuedWrite {
  readonly key: string;
  readonly options: CheckedWriteOptions;
  /** Null for a delete. */
  readonly put: { readonly body: WriteBody; readonly metadata: PutMetadata } | null;
  readonly condition?: PlainCondition;
  readonly ticket?: string;
  /** The call to R2 that has failed before. */
  readonly failed?: FailedCall;
}

type Accepted = Exclude<EnqueueReply, Refusal>;

/**
 * Queues a write. Rejects with a `FailoverError` when it is refused or no shard answers: then nothing is acknowledged,
 * and a key on which the failed call may yet land is quarantined. Rejects with the stream's own error if the body breaks.
 */
export async function enqueue(session: Session, write: QueuedWrite): Promise<Accepted> {
  checkKey(write.put === null ? "delete" : "put", write.key);
  let reply: EnqueueReply;
  try {
    const shards = await shardCount(session.env, session.service);
    reply = await send(session, write, shards);
  } catch (error) {
    keepOff(session, write);
    tellShard(session, write);
    if (write.put?.body.broken) throw write.put.body.broken.error;
    if (error instanceof FailoverError && mayLand(write)) throw withUnknownOutcome(error);
    throw error;
  }
  if (!reply.ok) {
    // The shard keeps the key quarantined by itself; this isolate must know before the next snapshot.
    keepOff(session, write);
    throw refused(reply, mayLand(write));
  }
  if (reply.verdict === "queued") {
    takeShard(session.state, reply.shard);
    followOwnWrite(session.state.ownWrites, write.key);
  }
  return reply;
}

async function send(session: Session, write: QueuedWrite, shards: number): Promise<EnqueueReply> {
  const { env, service, state } = session;
  const { key, options, put } = write;
  const shard = shardOf(key, shards);
  const id = operationId(key, shards, options.clientPart());
  for (let tries = 1; ; tries += 1) {
    if (put !== null && !put.body.canReplay) throw notReplayable();
    try {
      const late = () => new Error(`no answer from the queue within ${ENQUEUE_TIMEOUT_MS} ms`);
      return await withDeadline(ENQUEUE_TIMEOUT_MS, late, async (clock) => {
        const body = put === null ? null : await put.body.forQueue(clock);
        const now = Date.now();
        const request: EnqueueRequest = {
          operationId: id,
          kind: put === null ? "delete" : "put",
          key,
          priority: options.priority,
          userId: options.userId,
          fileId: options.fileId,
          maxRetries: options.maxRetries,
          metadata: put?.metadata ?? null,
          size: body?.size ?? null,
          directCall: write.failed === undefined ? null : directCall(write.failed, now),
          precededBy: ownWrite(state.ownWrites, key, now),
          ticket: write.ticket ?? null,
          condition: write.condition ?? null,
          readable: mayAdmit(state, "read", now),
        };
        return await queueStub(env, service, shard).enqueue(request, body?.value ?? null);
      });
    } catch (error) {
      if (tries > 1 || !isRetryable(error)) throw new QueueUnreachableError(error);
    }
  }
}

/** No shard answered: whether the write was stored is not known, unless it was never sent. */
export class QueueUnreachableError extends FailoverError {
  constructor(cause: unknown) {
    super("SERVICE_UNAVAILABLE", "R2 did not take the write, and the queue does not answer. It is not acknowledged.", {
      cause,
      retryAfter: RETRY_AFTER_S,
      outcomeUnknown: true,
    });
  }
}

/** A refusal as an error: R2's own where R2 would have said the same. */
export function refused(refusal: Refusal, outcomeUnknown = false): Error {
  if (refusal.r2Code !== undefined) return new Error(refusal.message);
  const { code, message, retryAfter } = refusal;
  return new FailoverError(code, message, { outcomeUnknown, ...(retryAfter === undefined ? {} : { retryAfter }) });
}

function notReplayable(): FailoverError {
  return new FailoverError(
    "BODY_NOT_REPLAYABLE",
    "R2 failed after more of the stream had been read than is kept for the queue. Send the write again.",
    { retryAfter: RETRY_AFTER_S },
  );
}

/** Whether the call to R2 that has failed may yet take effect. */
function mayLand({ failed }: QueuedWrite): boolean {
  return failed !== undefined && failed.fenceAt !== null;
}

function withUnknownOutcome(error: FailoverError): FailoverError {
  if (error.outcomeUnknown) return error;
  const { code, message, cause, retryAfter } = error;
  return new FailoverError(code, message, {
    cause,
    outcomeUnknown: true,
    ...(retryAfter === undefined ? {} : { retryAfter }),
  });
}

/** Keeps this isolate's direct writes off the key until the failed call can land no more. */
function keepOff({ state }: Session, { key, failed }: QueuedWrite): void {
  if (failed !== undefined && failed.fenceAt !== null) quarantine(state, key, failed.fenceAt, Date.now());
}

/** Likewise the shard's drain, if the shard can be told. */
function tellShard({ env, service }: Session, { key, failed, put }: QueuedWrite): void {
  if (failed === undefined || failed.fenceAt === null) return;
  const tell = async () => {
    const shards = await shardCount(env, service);
    const content = put === null ? null : await put.body.digest();
    const print = put === null || content === null ? null : fingerprintOf({ ...put.metadata, ...content });
    await queueStub(env, service, shardOf(key, shards)).quarantine(key, print, directCall(failed, Date.now()));
  };
  waitUntil(tell().catch(() => undefined));
}
