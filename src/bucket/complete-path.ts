/** Completions of multipart uploads. R2 cannot fence one, so each asks its shard first: go ahead, or it is queued. */
import { waitUntil } from "cloudflare:workers";
import { FailoverError } from "../shared/errors";
import { isQueueUpload, operationId } from "../shared/keys";
import type { CompleteUploadReply, CompleteUploadRequest, NamedPart } from "../shared/multipart-protocol";
import type { Refusal } from "../shared/protocol";
import { admit, mayAdmit } from "./admission";
import { callR2, directCall, type FailedCall, type R2Result } from "./direct-call";
import { keepOff, mayLand, tellShard, withUnknownOutcome } from "./given-up";
import { shardCount } from "./isolate-service";
import { configOf, isQuarantined, takeShard } from "./isolate-state";
import { fingerprintOfParts } from "./ledger";
import { followOwnWrite, ownWrite, rememberOwnWrite } from "./own-writes";
import { namedParts } from "./part-checks";
import type { UploadName } from "./part-path";
import { checkKey } from "./put-options";
import { QueuedObject } from "./queued-object";
import { forgetting } from "./read-cache";
import { prepare, refuseWhenReadOnly, type Session, unavailable } from "./session";
import { askShard, refused, sendToShard } from "./shard-call";
import { type CheckedWriteOptions, checkWriteOptions, type WriteOptions } from "./write-options";
import type { PutOutcome } from "./write-outcome";

export type Completed = Exclude<PutOutcome, { kind: "condition_failed" }>;
type Accepted = Exclude<CompleteUploadReply, Refusal>;
/** What stays the same when a completion is asked for twice. */
type Question = Omit<CompleteUploadRequest, "directCall" | "precededBy">;

export async function completeUpload(
  session: Session,
  upload: UploadName,
  uploaded: R2UploadedPart[],
  options: WriteOptions,
): Promise<Completed> {
  const { key } = upload;
  const own = checkWriteOptions(options);
  const parts = namedParts(uploaded);
  checkKey("completeMultipartUpload", key);
  await prepare(session, "write");
  refuseWhenReadOnly(session);
  return forgetting(session, key, () => complete(session, upload, uploaded, parts, own));
}

async function complete(
  session: Session,
  { key, uploadId }: UploadName,
  uploaded: R2UploadedPart[],
  parts: readonly NamedPart[],
  own: CheckedWriteOptions,
): Promise<Completed> {
  const { env, service, state } = session;
  const id = operationId(key, await shardCount(env, service), own.clientPart());
  const { priority, userId, fileId, maxRetries } = own;
  const now = Date.now();
  const question: Question = {
    ...{ operationId: id, key, uploadId, parts, priority, userId, fileId, maxRetries },
    origin: isQueueUpload(uploadId) ? "queue" : "r2",
    writable: mayAdmit(state, "write", now) && !isQuarantined(state, key, now),
    deadlineMs: configOf(state).write_timeout_ms,
    ticket: null,
  };
  const first = await ask(session, question);
  if (first.verdict === "queued") return queued(session, first);

  const { ticket } = first;
  const admission = admit(state, "write", Date.now());
  if (!admission.admitted) return insist(session, { ...question, writable: false, ticket });
  let result: R2Result<R2Object>;
  try {
    result = await callR2(session, {
      method: "complete",
      permit: admission.permit,
      send: () => session.r2.resumeMultipartUpload(key, uploadId).complete(uploaded),
    });
  } catch (error) {
    inBackground(askShard(session, key, (shard) => shard.settle(ticket, "refused")));
    throw error;
  }
  if (result.kind === "failed") return insist(session, { ...question, ticket }, result.call);
  rememberOwnWrite(state.ownWrites, key, result.value.version, Date.now());
  inBackground(
    askShard(session, key, async (shard) => {
      await shard.settle(ticket, "landed");
      await shard.forgetUpload(key, uploadId);
    }),
  );
  return { kind: "stored", object: result.value };
}

/** R2 has not completed it: it is queued now, or refused. */
async function insist(session: Session, question: Question, failed?: FailedCall): Promise<Completed> {
  const reply = await ask(session, question, failed);
  if (reply.verdict === "queued") return queued(session, reply);
  throw unavailable("The upload's completion is not decided. Try again in a moment.");
}

async function ask(session: Session, question: Question, failed?: FailedCall): Promise<Accepted> {
  const { key } = question;
  let reply: CompleteUploadReply;
  try {
    reply = await sendToShard(session, key, null, (shard) => {
      const now = Date.now();
      return shard.completeUpload({
        ...question,
        directCall: failed === undefined ? null : directCall(failed, now),
        precededBy: ownWrite(session.state.ownWrites, key, now),
      });
    });
  } catch (error) {
    keepOff(session, key, failed);
    tellShard(session, key, failed, async () => fingerprintOfParts(question.parts.length));
    if (error instanceof FailoverError && mayLand(failed)) throw withUnknownOutcome(error);
    throw error;
  }
  if (reply.ok) return reply;
  // The shard keeps the key quarantined by itself; this isolate must know before the next snapshot.
  keepOff(session, key, failed);
  throw refused(reply, mayLand(failed));
}

function queued({ state }: Session, reply: Extract<Accepted, { verdict: "queued" }>): Completed {
  const { stored, metadata, shard } = reply;
  takeShard(state, shard);
  followOwnWrite(state.ownWrites, stored.key);
  return { kind: "queued", object: new QueuedObject(stored, metadata), operation: stored };
}

function inBackground(work: Promise<unknown>): void {
  waitUntil(work.catch(() => undefined));
}
