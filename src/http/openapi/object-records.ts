/** What the gateway answers, and errors. */
import * as z from "zod";
import { ERROR_STATUS } from "../../shared/errors";
import type { ObjectListRecord, ObjectRecord } from "../../shared/records";
import { component, count, recordOf, time } from "./components";

const stored = component(
  "StoredWrite",
  z.strictObject({
    success: z.literal(true),
    queued: z.literal(false),
    key: z.string(),
    etag: z.string(),
    size: count,
    version: z.string(),
  }),
);

export const queued = component(
  "QueuedWrite",
  z.strictObject({
    success: z.literal(false),
    queued: z.literal(true),
    operation_id: z.string(),
    key: z.string(),
    etag: z.string().nullable(),
    size: count,
  }),
);

const part = component("Part", z.strictObject({ part_number: z.int().min(1), etag: z.string() }));
const upload = component("Upload", z.strictObject({ key: z.string(), upload_id: z.string() }));
/** What a PUT answers: of an object, or of a part. */
export const storedOrPart = component("StoredWriteOrPart", z.union([stored, part]));
/** What a POST answers: an upload that begins, or one that is complete. */
export const storedOrUpload = component("StoredWriteOrUpload", z.union([stored, upload]));

const object = recordOf<ObjectRecord>("Object")(
  z.strictObject({
    key: z.string(),
    size: count,
    etag: z.string(),
    uploaded: time,
    http_metadata: z.strictObject({
      content_type: z.string().optional(),
      content_language: z.string().optional(),
      content_disposition: z.string().optional(),
      content_encoding: z.string().optional(),
      cache_control: z.string().optional(),
      cache_expiry: time.optional(),
    }),
    custom_metadata: z.record(z.string(), z.string()),
  }),
);

export const objectList = recordOf<ObjectListRecord>("ObjectList")(
  z.strictObject({
    objects: z.array(object),
    delimited_prefixes: z.array(z.string()),
    truncated: z.boolean(),
    cursor: z.string().nullable(),
    partial: z.boolean(),
  }),
);

const CODES = Object.keys(ERROR_STATUS);

/** RFC 9457. `INTERNAL` is left out: an answer of 500 is a fault of ours, and no part of the interface. */
export const problem = component(
  "Problem",
  z.strictObject({
    type: z.literal("about:blank"),
    title: z.string(),
    status: z.int().min(400).max(599),
    code: z.enum([...CODES, "R2_ERROR"]),
    detail: z.string(),
    request_id: z.string(),
    outcome_unknown: z.literal(true).optional(),
    r2_code: z.int().optional(),
  }),
);
