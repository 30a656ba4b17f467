/** Multipart uploads over HTTP: what the query makes of an object's path. */
import * as z from "zod";
import { FailoverError } from "../shared/errors";
import { type Call, json } from "./call";
import { readJson, wholeNumber } from "./input";
import { deleteObject, getObject, putObject, sent, target, userOf, writtenResponse } from "./r2";
import { putBody, refuseHeaders, uploadOptions, writeOptions } from "./r2-request";

export const MAX_PARTS = 10_000;
/** R2's local etags are long: ten thousand of them are 2 MiB. */
const MAX_COMPLETION_BYTES = 4 * 1024 * 1024;

type Query =
  | { readonly kind: "object" }
  | { readonly kind: "uploads" }
  | { readonly kind: "upload"; readonly uploadId: string }
  | { readonly kind: "part"; readonly uploadId: string; readonly partNumber: number };

export const completionSchema = z.strictObject({
  parts: z
    .array(z.strictObject({ part_number: z.int().min(1).max(MAX_PARTS), etag: z.string().min(1) }))
    .min(1)
    .max(MAX_PARTS)
    .refine((parts) => new Set(parts.map((part) => part.part_number)).size === parts.length, {
      message: "must name each part once",
    }),
});

/** `PUT /r2/<key>`, or `PUT ?partNumber=&uploadId=`: `{part_number,etag}`. */
export async function put(call: Call): Promise<Response> {
  const query = queryOf(call.url.searchParams);
  if (query.kind === "object") return putObject(call);
  if (query.kind !== "part") throw invalid("A PUT takes partNumber and uploadId together, or neither.");
  const { bucket, key } = await target(call);
  refuseHeaders(call.request.headers, ["content-md5", "content-range"]);
  const body = await putBody(call.request);
  const upload = bucket.resumeMultipartUpload(key, query.uploadId);
  const part = await sent(call, body, upload.uploadPart(query.partNumber, body.value, { size: body.size }));
  return json({ part_number: part.partNumber, etag: part.etag });
}

/** `POST ?uploads`: `{key,upload_id}`. `POST ?uploadId=` `{parts}`: answered as a PUT. */
export async function post(call: Call): Promise<Response> {
  const query = queryOf(call.url.searchParams);
  const { headers } = call.request;
  switch (query.kind) {
    case "uploads": {
      const { bucket, key } = await target(call);
      const upload = await bucket.createMultipartUpload(key, uploadOptions(headers));
      return json({ key, upload_id: upload.uploadId });
    }
    case "upload": {
      const { bucket, key, service } = await target(call);
      const { parts } = await readJson(call.request, completionSchema, MAX_COMPLETION_BYTES);
      const named = parts.map(({ part_number, etag }) => ({ partNumber: part_number, etag }));
      const upload = bucket.resumeMultipartUpload(key, query.uploadId);
      return writtenResponse(await upload.finish(named, { ...writeOptions(headers, key), ...userOf(call) }), service);
    }
    case "object":
    case "part":
      throw invalid("A POST takes uploads, or uploadId.");
  }
}

/** `DELETE /r2/<key>`, or `DELETE ?uploadId=`: 204. */
export async function remove(call: Call): Promise<Response> {
  const query = queryOf(call.url.searchParams);
  if (query.kind === "object") return deleteObject(call);
  if (query.kind !== "upload") throw invalid("A DELETE takes uploadId, or no part of an upload.");
  const { bucket, key } = await target(call);
  await bucket.resumeMultipartUpload(key, query.uploadId).abort();
  return new Response(null, { status: 204 });
}

/** `GET /r2/<key>`. Uploads and their parts are not listed. */
export async function get(call: Call): Promise<Response> {
  if (queryOf(call.url.searchParams).kind === "object") return getObject(call);
  throw new FailoverError("NOT_FOUND", "There is no such path.");
}

/** Throws `INVALID_REQUEST`: a part must never be stored as if it were the object. */
function queryOf(query: URLSearchParams): Query {
  const uploadId = query.get("uploadId");
  const partNumber = query.get("partNumber");
  if (query.has("uploads")) {
    if (uploadId !== null || partNumber !== null) throw invalid("uploads stands alone.");
    return { kind: "uploads" };
  }
  if (uploadId === "") throw invalid("uploadId is empty.");
  if (partNumber === null) return uploadId === null ? { kind: "object" } : { kind: "upload", uploadId };
  if (uploadId === null) throw invalid("partNumber needs the uploadId that it belongs to.");
  const bounds = { otherwise: 0, minimum: 1, maximum: MAX_PARTS };
  const number = wholeNumber(partNumber, "partNumber", bounds);
  if (number === 0) throw invalid(`partNumber must be a whole number from 1 to ${MAX_PARTS}.`);
  return { kind: "part", uploadId, partNumber: number };
}

function invalid(detail: string): FailoverError {
  return new FailoverError("INVALID_REQUEST", detail);
}
