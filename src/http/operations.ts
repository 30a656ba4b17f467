import * as z from "zod";
import { queueStub } from "../bucket/stubs";
import { FailoverError } from "../shared/errors";
import { shardOf, shardOfOperation } from "../shared/keys";
import { OPERATION_STATUSES } from "../shared/protocol";
import type { OperationRecord } from "../shared/records";
import type { OperationFilter, QueueRpc } from "../shared/rpc";
import { actorOf, type Call, json } from "./call";
import { decodePart, readJson, wholeNumber } from "./input";
import { ACTION_DEADLINE_MS, ask, askOrNull, serviceOfQuery, shardsOf, unwrap } from "./objects";
import { decodeCursor, mergePage } from "./operation-list";
import { recordAction } from "./record-action";

export const statusSchema = z.enum(OPERATION_STATUSES);
export const OPERATIONS_LIMIT = { otherwise: 100, minimum: 1, maximum: 1_000 };
export const retrySchema = z.strictObject({ force: z.boolean().default(false) });

/** `GET /health/queue/operations`: newest first, over all shards. Shards that do not answer are named. */
export async function listOperations(call: Call): Promise<Response> {
  const filter = ownOnly(call, filterOf(call.url.searchParams));
  const service = await serviceOfQuery(call);
  const count = await shardsOf(call.env, service);
  const shards = filter.key === undefined ? Array.from({ length: count }, (_, n) => n) : [shardOf(filter.key, count)];
  const lists = await Promise.all(
    shards.map((shard) =>
      askOrNull("A part of the queue", () =>
        queueStub(call.env, service, shard).operations({ ...filter, limit: filter.limit + 1 }),
      ),
    ),
  );
  return json({
    ...mergePage(
      lists.filter((list) => list !== null),
      filter.limit,
    ),
    unreachable_shards: shards.filter((_, index) => lists[index] === null),
  });
}

/** A user lists their own operations, and need not say so. Throws `FORBIDDEN` when they ask for another's. */
function ownOnly({ principal }: Call, filter: OperationFilter): OperationFilter {
  if (principal.kind !== "user") return filter;
  if (filter.userId !== undefined && filter.userId !== principal.userId) {
    throw new FailoverError("FORBIDDEN", "This token shows the operations of its own user only.");
  }
  return { ...filter, userId: principal.userId };
}

/** The query as a filter. Throws `INVALID_REQUEST`. */
function filterOf(query: URLSearchParams): OperationFilter {
  const limit = wholeNumber(query.get("limit"), "limit", OPERATIONS_LIMIT);
  const status = query.get("status");
  const parsed = status === null ? undefined : statusSchema.safeParse(status);
  if (parsed?.success === false)
    throw new FailoverError("INVALID_REQUEST", `status must be one of ${OPERATION_STATUSES.join(", ")}.`);
  const userId = query.get("user_id");
  const key = query.get("key");
  const cursor = query.get("cursor");
  return {
    limit,
    ...(parsed === undefined ? {} : { status: parsed.data }),
    ...(userId === null ? {} : { userId }),
    ...(key === null ? {} : { key }),
    ...(cursor === null ? {} : { before: decodeCursor(cursor) }),
  };
}

/** `GET /health/queue/operations/:id`. */
export async function getOperation(call: Call): Promise<Response> {
  return json((await find(call)).record);
}

/** `GET /health/queue/operations/:id/payload`: the bytes that are kept for it. */
export async function getPayload(call: Call): Promise<Response> {
  const { record, shard, service } = await find(call);
  const { operation_id: id, size } = record;
  const payload = size === 0 ? emptyStream() : await ask("A part of the queue", () => shard.payload(id, 0, size));
  if (record.operation_type === "DELETE" || payload === null) {
    throw new FailoverError("NOT_FOUND", "No payload is kept for this operation, or not any more.");
  }
  await recordAction(call, service, "OPERATION_PAYLOAD_READ", { operation_id: id });
  return new Response(payload.pipeThrough(new FixedLengthStream(size)), {
    headers: {
      "content-type": "application/octet-stream",
      "content-disposition": "attachment",
      "x-content-type-options": "nosniff",
      "cache-control": "no-store",
    },
  });
}

/** `POST /health/queue/operations/:id/cancel`. An operation never changes its user, so that a look beforehand is enough. */
export async function cancelOperation(call: Call): Promise<Response> {
  const { id, shard } = call.principal.kind === "user" ? await find(call) : await locate(call);
  const run = () => shard.cancel(id, actorOf(call));
  return json(unwrap(await ask("A part of the queue", run, ACTION_DEADLINE_MS)).operation);
}

/** `POST /health/queue/operations/:id/retry` `{force?}`. */
export async function retryOperation(call: Call): Promise<Response> {
  const { force } = await readJson(call.request, retrySchema);
  const { id, shard } = await locate(call);
  const run = () => shard.retry(id, force, actorOf(call));
  return json(unwrap(await ask("A part of the queue", run, ACTION_DEADLINE_MS)).operation);
}

interface Located {
  readonly id: string;
  readonly service: string;
  readonly shard: QueueRpc;
}

/** The shard that the id names. Throws `NOT_FOUND` for an id that no shard can hold. */
async function locate(call: Call): Promise<Located> {
  const id = decodePart(call.params.id ?? "");
  const service = await serviceOfQuery(call);
  const shard = shardOfOperation(id);
  if (shard === null || shard >= (await shardsOf(call.env, service))) throw unknownOperation();
  return { id, service, shard: queueStub(call.env, service, shard) };
}

/** Another user's operation is as if it were not there. */
async function find(call: Call): Promise<Located & { readonly record: OperationRecord }> {
  const located = await locate(call);
  const { principal } = call;
  const record = await ask("A part of the queue", () => located.shard.operation(located.id));
  const isVisible = record !== null && (principal.kind !== "user" || record.user_id === principal.userId);
  if (!isVisible) throw unknownOperation();
  return { ...located, record };
}

function unknownOperation(): FailoverError {
  return new FailoverError("NOT_FOUND", "No operation has this id, or it is no longer kept.");
}

function emptyStream(): ReadableStream<Uint8Array> {
  return new Response("").body ?? new ReadableStream({ type: "bytes", start: (controller) => controller.close() });
}
