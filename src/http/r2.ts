import { FailoverBucket } from "../bucket/failover-bucket";
import { r2Code } from "../bucket/r2-errors";
import type { PutOutcome, ReadSource } from "../bucket/write-outcome";
import { DEFAULT_SERVICE } from "../shared/env";
import { FailoverError } from "../shared/errors";
import type { Stored } from "../shared/protocol";
import { type Call, json } from "./call";
import { brokenBody } from "./input";
import { errorFields, log } from "./log";
import { serviceOfQuery } from "./objects";
import { conditionHeaders, evaluate, refusal } from "./preconditions";
import { type Problem, problem, problemResponse } from "./problem";
import { objectKey } from "./r2-key";
import { type PutBody, putBody, putOptions, writeOptions } from "./r2-request";
import { notModifiedHeaders, objectHeaders } from "./r2-response";
import { parseRange, servedBytes } from "./range";
import { requireReach } from "./user-scope";

const INVALID_RANGE = 10039;

/** `PUT /r2/<key>`: 200 when it is in R2, 202 when it is queued. */
export async function putObject(call: Call): Promise<Response> {
  const { bucket, key, service } = await target(call);
  const { headers } = call.request;
  const body = await putBody(call.request);
  const options = { ...putOptions(headers, key, body.size), ...userOf(call) };
  const outcome = await sent(call, body, bucket.write(key, body.value, options));
  return outcome.kind === "condition_failed"
    ? problemResponse(preconditionFailed(), call.requestId)
    : writtenResponse(outcome, service);
}

/** The result of a call that sends a body. What is neither our error nor R2's came out of the client's stream. */
export async function sent<T>(call: Call, body: PutBody, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (body.kind === "bytes" || error instanceof FailoverError || r2Code(error) !== null) throw error;
    log("warn", "upload_broke_off", { request_id: call.requestId, ...errorFields(error) });
    throw brokenBody(error);
  }
}

/** 200 for what is in R2, 202 with its operation for what is queued. */
export function writtenResponse(outcome: Exclude<PutOutcome, { kind: "condition_failed" }>, service: string): Response {
  if (outcome.kind === "queued") return accepted(outcome.operation, service);
  const { key, etag, size, version, httpEtag } = outcome.object;
  return json({ success: true, queued: false, key, etag, size, version }, { headers: { etag: httpEtag } });
}

/** `DELETE /r2/<key>`: 204 when it is gone from R2, 202 when the delete is queued. */
export async function deleteObject(call: Call): Promise<Response> {
  const { bucket, key, service } = await target(call);
  const { headers } = call.request;
  if (conditionHeaders(headers) !== null) {
    throw new FailoverError("INVALID_REQUEST", "R2 has no conditional delete. Send the DELETE without If-… headers.");
  }
  const outcome = await bucket.remove(key, { ...writeOptions(headers, key), ...userOf(call) });
  const queued = outcome.kind === "queued" ? outcome.operations[0] : undefined;
  return queued === undefined ? new Response(null, { status: 204 }) : accepted(queued, service);
}

/** `GET /r2/<key>`, with one range and the preconditions of RFC 9110. */
export async function getObject(call: Call): Promise<Response> {
  const { bucket, key } = await target(call);
  if (call.request.method === "HEAD") return headObject(call, bucket, key);
  const { headers } = call.request;
  const conditions = conditionHeaders(headers);
  const range = parseRange(headers.get("range"));
  const read = (asked: R2Range | null) =>
    bucket.read(key, {
      ...(conditions === null ? {} : { onlyIf: conditions }),
      ...(asked === null ? {} : { range: asked }),
    });
  let served = range;
  let found: Awaited<ReturnType<typeof read>>;
  try {
    found = await read(range);
  } catch (error) {
    if (r2Code(error) === INVALID_RANGE) return problemResponse(await unsatisfiable(bucket, key), call.requestId);
    throw error;
  }
  if (range !== null && found.object !== null && !rangeStillHolds(headers.get("if-range"), found.object)) {
    // The object has changed since the client got its first part: it must start anew, with the whole.
    if (hasBody(found.object)) await found.object.body.cancel();
    served = null;
    found = await read(null);
  }
  const { object, source } = found;
  if (object === null) throw notFound();
  if (!hasBody(object)) {
    const verdict = refusal(conditions ?? new Headers(), object);
    return verdict === "failed"
      ? problemResponse(preconditionFailed(), call.requestId)
      : new Response(null, { status: 304, headers: notModifiedHeaders(objectHeaders(object, source)) });
  }
  return objectResponse(object, source, served);
}

async function headObject(call: Call, bucket: FailoverBucket, key: string): Promise<Response> {
  const conditions = conditionHeaders(call.request.headers);
  const { object, source } = await bucket.stat(key);
  if (object === null) throw notFound();
  const headers = objectHeaders(object, source);
  const verdict = conditions === null ? "proceed" : evaluate(conditions, object);
  if (verdict === "failed") return problemResponse(preconditionFailed(), call.requestId);
  if (verdict === "not_modified") return new Response(null, { status: 304, headers: notModifiedHeaders(headers) });
  headers.set("content-length", String(object.size));
  return new Response(null, { headers });
}

function objectResponse(object: R2ObjectBody, source: ReadSource, range: R2Range | null): Response {
  const headers = objectHeaders(object, source);
  const { first, last } = range === null ? { first: 0, last: object.size - 1 } : servedBytes(range, object.size);
  if (range !== null) headers.set("content-range", `bytes ${first}-${last}/${object.size}`);
  // `manual`: the stored bytes are what Content-Encoding says already, and must not be encoded once more.
  return new Response(object.body, { status: range === null ? 200 : 206, headers, encodeBody: "manual" });
}

/** `/r2/` without a key can only be listed. */
export function withoutKey(): never {
  return objectKey("") as never;
}

/** What the path and `?service=` name. */
export async function target(call: Call): Promise<{ bucket: FailoverBucket; key: string; service: string }> {
  const key = objectKey(call.params.key ?? "");
  requireReach(call, key);
  const service = await serviceOfQuery(call);
  return { bucket: new FailoverBucket(call.env, { service }), key, service };
}

/** Whose write it is, by the token alone. */
export function userOf({ principal }: Call): { userId?: string } {
  return principal.kind === "user" ? { userId: principal.userId } : {};
}

function accepted(operation: Stored, service: string): Response {
  const { operationId, key, etag, size } = operation;
  // The operation's id names its shard, not its service.
  const query = service === DEFAULT_SERVICE ? "" : `?service=${encodeURIComponent(service)}`;
  return json(
    { success: false, queued: true, operation_id: operationId, key, etag: etag === "" ? null : etag, size },
    { status: 202, headers: { location: `/health/queue/operations/${operationId}${query}` } },
  );
}

function hasBody(object: R2Object | R2ObjectBody): object is R2ObjectBody {
  return "body" in object && object.body !== undefined && object.body !== null;
}

/** RFC 9110 §13.1.5: only a strong etag, or the exact date, makes the range valid. */
function rangeStillHolds(ifRange: string | null, object: R2Object): boolean {
  if (ifRange === null) return true;
  return ifRange === object.httpEtag || ifRange === object.uploaded.toUTCString();
}

function notFound(): FailoverError {
  return new FailoverError("NOT_FOUND", "No object has this key.");
}

function preconditionFailed(): Problem {
  return problem("PRECONDITION_FAILED", "A precondition of the request does not hold.");
}

async function unsatisfiable(bucket: FailoverBucket, key: string): Promise<Problem> {
  const size = await bucket.stat(key).then(
    ({ object }) => object?.size,
    () => undefined,
  );
  return problem("RANGE_NOT_SATISFIABLE", "The object does not reach as far as the range begins.", {
    headers: size === undefined ? {} : { "content-range": `bytes */${size}` },
  });
}
