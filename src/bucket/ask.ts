import type { AskReply, AskRequest } from "../shared/protocol";
import { within } from "../shared/within";
import { configOf, takeShard } from "./isolate-state";
import type { Session } from "./session";
import { QueueUnreachableError } from "./shard-call";
import { queueStub } from "./stubs";
import type { CheckedWriteOptions } from "./write-options";

const ASK_TIMEOUT_MS = 5_000;

/**
 * Asks a shard for leave to write what R2 cannot fence. Rejects when it does not answer: such a write is never done
 * unordered.
 */
export async function ask(
  { env, service, state }: Session,
  shard: number,
  question: Pick<AskRequest, "kind" | "items" | "writable">,
  { priority, userId }: CheckedWriteOptions,
): Promise<AskReply> {
  const request = { ...question, deadlineMs: configOf(state).write_timeout_ms, priority, userId };
  const late = () => new Error(`no answer from the queue within ${ASK_TIMEOUT_MS} ms`);
  let reply: AskReply;
  try {
    reply = await within(queueStub(env, service, shard).ask(request), ASK_TIMEOUT_MS, late);
  } catch (error) {
    throw new QueueUnreachableError(error);
  }
  takeShard(state, reply.shard);
  return reply;
}
