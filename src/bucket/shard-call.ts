/** Object calls to the shard of a key that carry a body or decide a write. */
import { FailoverError } from "../shared/errors";
import { shardOf } from "../shared/keys";
import type { Refusal } from "../shared/protocol";
import type { QueueRpc } from "../shared/rpc";
import { within } from "../shared/within";
import { withDeadline } from "./deadline";
import { shardCount } from "./isolate-service";
import type { Session } from "./session";
import { isRetryable, queueStub } from "./stubs";
import type { QueueBody, WriteBody } from "./write-body";

const BODY_TIMEOUT_MS = 10_000;
const ASK_TIMEOUT_MS = 5_000;
const RETRY_AFTER_S = 2;

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

/**
 * Sends a body (null: none) to the shard of `key`, and once more where the object has only moved. Rejects with
 * `QueueUnreachableError`, with `BODY_NOT_REPLAYABLE`, or when the number of shards is not to be learnt.
 */
export async function sendToShard<T>(
  { env, service }: Session,
  key: string,
  body: WriteBody | null,
  call: (shard: QueueRpc, body: QueueBody | null) => Promise<T>,
): Promise<T> {
  const shard = shardOf(key, await shardCount(env, service));
  for (let tries = 1; ; tries += 1) {
    if (body !== null && !body.canReplay) throw notReplayable();
    try {
      return await withDeadline(
        BODY_TIMEOUT_MS,
        () => noAnswer(BODY_TIMEOUT_MS),
        async (clock) => {
          const sent = body === null ? null : await body.forQueue(clock);
          return await call(queueStub(env, service, shard), sent);
        },
      );
    } catch (error) {
      if (tries > 1 || !isRetryable(error)) throw new QueueUnreachableError(error);
    }
  }
}

/** Asks the shard of `key` something short. Rejects with `QueueUnreachableError`. */
export async function askShard<T>(
  { env, service }: Session,
  key: string,
  call: (shard: QueueRpc) => Promise<T>,
  timeoutMs = ASK_TIMEOUT_MS,
): Promise<T> {
  const shard = shardOf(key, await shardCount(env, service));
  try {
    return await within(call(queueStub(env, service, shard)), timeoutMs, () => noAnswer(timeoutMs));
  } catch (error) {
    throw new QueueUnreachableError(error);
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

const noAnswer = (ms: number) => new Error(`no answer from the queue within ${ms} ms`);
