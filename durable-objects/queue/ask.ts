/** Deletes and conditional puts ask before they call R2: go ahead, or queue up behind what is pending. */
import { FENCE_MARGIN_MS } from "../../src/shared/fence";
import { hashKey } from "../../src/shared/keys";
import type { AskReply, AskRequest, AskVerdict } from "../../src/shared/protocol";
import { askForRoom, fits, roomProblem } from "./capacity";
import { storedOf } from "./operation-row";
import { accept } from "./order";
import { idReused } from "./refusals";
import { requestProblem } from "./request-problem";
import { score } from "./schedule";
import type { Shard } from "./shard";

type Item = AskRequest["items"][number];

export async function ask(shard: Shard, request: AskRequest): Promise<AskReply> {
  const { link } = shard;
  const queued = request.kind === "delete" ? request.items.filter((item) => !isFree(shard, request, item)) : [];
  if (queued.length > 0) {
    const keyHashes = queued.map((item) => hashKey(item.key));
    await shard.steps.at("ask.reserve", askForRoom(shard, keyHashes, queued.length, 0));
  }
  const verdicts = request.items.map((item) => decide(shard, request, item));
  shard.changed();
  if (verdicts.some((verdict) => verdict.verdict === "queued")) {
    await shard.steps.at("ask.confirm", link.confirm());
  }
  return { verdicts, shard: link.view };
}

function isFree(shard: Shard, request: AskRequest, item: Item): boolean {
  return request.writable && shard.store.byOperationId(item.operationId) === null && isKeyFree(shard, item.key);
}

/** Nothing of the key is queued, and no given-up write may yet land on it. Tickets are no hindrance: R2 decides. */
export function isKeyFree(shard: Shard, key: string): boolean {
  const now = Date.now();
  return (
    shard.store.liveOf(key).length === 0 &&
    !shard.calls.of(key).some((call) => call.kind !== "ticket" && call.until > now)
  );
}

/** Leave to call R2: until it is given back, or has run out, the drain keeps off the key. */
export function openTicket(shard: Shard, key: string, operationId: string, deadlineMs: number): string {
  const ticket = `ticket:${crypto.randomUUID()}`;
  const until = Date.now() + deadlineMs + FENCE_MARGIN_MS;
  shard.calls.open({ call_id: ticket, key, kind: "ticket", operation_id: operationId, until });
  return ticket;
}

function decide(shard: Shard, request: AskRequest, item: Item): AskVerdict {
  const { store } = shard;
  const now = Date.now();
  const { key, operationId } = item;
  if (isFree(shard, request, item)) {
    return { verdict: "direct", ticket: openTicket(shard, key, operationId, request.deadlineMs) };
  }
  if (request.kind === "conditional_put") return { verdict: "enqueue" };
  const known = store.byOperationId(operationId);
  if (known !== null) {
    const isSame = known.key === key && known.operation_type === "DELETE";
    return isSame ? { verdict: "queued", stored: storedOf(known) } : { verdict: "refused", refusal: idReused() };
  }
  const problem = requestProblem(deleteRequest(request, item), null);
  if (problem !== null) return { verdict: "refused", refusal: problem };
  if (!fits(shard, 1, 0)) return { verdict: "refused", refusal: roomProblem(shard, 0) };
  const row = accept(
    shard,
    {
      operationId,
      type: "DELETE",
      payload: "null",
      priority: request.priority,
      maxRetries: null,
      userId: request.userId,
      fileId: null,
      key,
      keyId: null,
      now,
      score: score(now, request.priority),
      fenceAt: now + 1,
      firstCallAt: null,
      needsEpoch: 0,
      size: 0,
      heldBytes: 0,
      etag: "",
      checksums: "{}",
      fingerprint: null,
      uploadId: null,
    },
    null,
  );
  return { verdict: "queued", stored: storedOf(row) };
}

function deleteRequest(request: AskRequest, item: Item) {
  return {
    operationId: item.operationId,
    kind: "delete" as const,
    key: item.key,
    priority: request.priority,
    userId: request.userId,
    fileId: null,
    maxRetries: null,
    metadata: null,
    size: null,
    directCall: null,
    ticket: null,
    condition: null,
    readable: false,
  };
}
