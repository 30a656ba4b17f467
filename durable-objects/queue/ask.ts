/** Deletes and conditional puts ask before they call R2: go ahead, or queue up behind what is pending. */
import { FENCE_MARGIN_MS } from "../../src/shared/fence";
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
    const keys = queued.map((item) => item.key);
    await shard.steps.at("ask.reserve", askForRoom(shard, keys, queued.length, 0));
  }
  const verdicts = request.items.map((item) => decide(shard, request, item));
  shard.changed();
  if (verdicts.some((verdict) => verdict.verdict === "queued")) {
    await shard.steps.at("ask.confirm", link.confirm());
  }
  return { verdicts, shard: link.view };
}

/** Nothing of the key is queued, and no given-up put may yet land on it. Other tickets are no hindrance: R2 decides. */
function isFree(shard: Shard, request: AskRequest, item: Item): boolean {
  const now = Date.now();
  return (
    request.writable &&
    shard.store.byOperationId(item.operationId) === null &&
    shard.store.liveOf(item.key).length === 0 &&
    !shard.calls.of(item.key).some((call) => call.kind !== "ticket" && call.until > now)
  );
}

function decide(shard: Shard, request: AskRequest, item: Item): AskVerdict {
  const { store, calls } = shard;
  const now = Date.now();
  const { key, operationId } = item;
  if (isFree(shard, request, item)) {
    const until = now + request.deadlineMs + FENCE_MARGIN_MS;
    const ticket = `ticket:${crypto.randomUUID()}`;
    calls.open({ call_id: ticket, key, kind: "ticket", operation_id: operationId, until });
    return { verdict: "direct", ticket };
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
      etag: "",
      checksums: "{}",
      fingerprint: null,
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
