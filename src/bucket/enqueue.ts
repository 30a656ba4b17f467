/** The way into the queue: what R2 did not take is stored by the shard of its key, or refused. */
import { FailoverError } from "../shared/errors";
import { operationId } from "../shared/keys";
import type { EnqueueReply, EnqueueRequest, PlainCondition, PutMetadata, Refusal } from "../shared/protocol";
import { mayAdmit } from "./admission";
import { directCall, type FailedCall } from "./direct-call";
import { keepOff, mayLand, tellShard, withUnknownOutcome } from "./given-up";
import { shardCount } from "./isolate-service";
import { takeShard } from "./isolate-state";
import { fingerprintOf } from "./ledger";
import { followOwnWrite, ownWrite } from "./own-writes";
import { checkKey } from "./put-options";
import type { Session } from "./session";
import { refused, sendToShard } from "./shard-call";
import type { QueueBody, WriteBody } from "./write-body";
import type { CheckedWriteOptions } from "./write-options";

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
  const { key, put, failed } = write;
  checkKey(put === null ? "delete" : "put", key);
  let reply: EnqueueReply;
  try {
    const id = operationId(key, await shardCount(session.env, session.service), write.options.clientPart());
    reply = await sendToShard(session, key, put?.body ?? null, (shard, body) =>
      shard.enqueue(requestOf(session, write, id, body), body?.value ?? null),
    );
  } catch (error) {
    keepOff(session, key, failed);
    tellShard(session, key, failed, () => fingerprintOfPut(write));
    if (put?.body.broken) throw put.body.broken.error;
    if (error instanceof FailoverError && mayLand(failed)) throw withUnknownOutcome(error);
    throw error;
  }
  if (!reply.ok) {
    // The shard keeps the key quarantined by itself; this isolate must know before the next snapshot.
    keepOff(session, key, failed);
    throw refused(reply, mayLand(failed));
  }
  if (reply.verdict === "queued") {
    takeShard(session.state, reply.shard);
    followOwnWrite(session.state.ownWrites, write.key);
  }
  return reply;
}

function requestOf({ state }: Session, write: QueuedWrite, id: string, body: QueueBody | null): EnqueueRequest {
  const { key, options, put } = write;
  const now = Date.now();
  return {
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
}

async function fingerprintOfPut({ put }: QueuedWrite): Promise<string | null> {
  const content = put === null ? null : await put.body.digest();
  return put === null || content === null ? null : fingerprintOf({ ...put.metadata, ...content });
}
