/** Every operation described, by its route. Bodies are the schemas that the handlers check them with. */
import * as z from "zod";
import { rulesSchema } from "../../bucket/fault-schema";
import { settingSchema } from "../config";
import { EVENTS_LIMIT } from "../events";
import { BADGES } from "../formats";
import { HOURS, INCIDENTS_LIMIT } from "../health";
import { OPERATIONS_LIMIT, retrySchema, statusSchema } from "../operations";
import { PROMETHEUS_TYPE } from "../prometheus";
import { redriveSchema, serviceSchema } from "../queue";
import { INCLUDES, LIST_LIMIT } from "../r2-list";
import { completionSchema, MAX_PARTS } from "../r2-multipart";
import { PRIORITY } from "../r2-request";
import { checkSchema, degradeSchema, modeSchema, recoverSchema } from "../service-actions";
import { component } from "./components";
import { objectList, queued, storedOrPart, storedOrUpload } from "./object-records";
import * as records from "./records";

export const BYTES = "application/octet-stream";
const JSON_TYPE = "application/json";

/** One answer: its media types with their schemas; without any it has no body. */
export interface DescribedAnswer {
  readonly description: string;
  readonly content?: Readonly<Record<string, z.ZodType>>;
  readonly headers?: readonly string[];
}

export interface DescribedOperation {
  readonly id: string;
  readonly tag: "objects" | "health" | "formats" | "services" | "queue" | "config";
  readonly summary: string;
  readonly path?: Readonly<Record<string, z.ZodType>>;
  readonly query?: Readonly<Record<string, z.ZodType>>;
  readonly headers?: Readonly<Record<string, z.ZodType>>;
  /** A JSON body, or the bytes of an object. */
  readonly body?: z.ZodType | typeof BYTES;
  readonly answers: Readonly<Record<number, DescribedAnswer>>;
}

const text = z.string().optional();
const bytes = z.string().meta({ format: "binary" });

function whole({ otherwise, minimum, maximum }: { otherwise: number; minimum: number; maximum: number }): z.ZodType {
  return z.int().min(minimum).max(maximum).default(otherwise);
}

function answer(schema: z.ZodType, description = "Done."): Record<number, DescribedAnswer> {
  return { 200: { description, content: { [JSON_TYPE]: schema } } };
}

const service = { service: text.describe("Another service than R2_STORAGE.") };
const uploadId = { uploadId: text.describe("Of a multipart upload.") };
const serviceName = { serviceName: z.string() };
const key = { key: z.string().min(1).describe("The object's key; its slashes need not be escaped.") };
const id = { id: z.string().describe("The id that the queued write was answered with.") };
const writeHeaders = {
  "idempotency-key": z.string().max(130).optional().describe("The client's part of the operation's id."),
  "x-failover-priority": whole(PRIORITY),
};
const putHeaders = {
  ...writeHeaders,
  "if-match": text,
  "if-none-match": text,
  "content-md5": text,
  "content-language": text,
  "content-disposition": text,
  "content-encoding": text,
  "cache-control": text,
  expires: text,
};
const getHeaders = {
  range: text,
  "if-match": text,
  "if-none-match": text,
  "if-modified-since": text,
  "if-unmodified-since": text,
  "if-range": text,
};
const accepted: DescribedAnswer = {
  description: "Durably queued: it can be read at once, and reaches R2 as soon as R2 is back.",
  content: { [JSON_TYPE]: queued },
  headers: ["location"],
};
const objectAnswers = {
  200: { description: "The object.", content: { [BYTES]: bytes }, headers: ["etag", "x-failover-source"] },
  206: { description: "A range of it.", content: { [BYTES]: bytes }, headers: ["etag", "content-range"] },
  304: { description: "It has not changed." },
};
const faultsSchema = z.strictObject({ faults: rulesSchema });
const faults = component("Faults", z.strictObject({ faults: rulesSchema }));
const withoutKey = { 400: { description: "A key is missing.", content: {} } };

const SERVICE = "/health/services/:serviceName";
const OPERATION = "/health/queue/operations/:id";

export const OPERATIONS: Readonly<Record<string, DescribedOperation>> = {
  "PUT /r2/:key+": {
    id: "putObject",
    tag: "objects",
    summary: "Store an object, or a part of an upload",
    path: key,
    query: { partNumber: z.int().min(1).max(MAX_PARTS).optional(), ...uploadId, ...service },
    headers: putHeaders,
    body: BYTES,
    answers: { 200: { description: "It is in R2.", content: { [JSON_TYPE]: storedOrPart } }, 202: accepted },
  },
  "POST /r2/:key+": {
    id: "upload",
    tag: "objects",
    summary: "Begin a multipart upload (uploads), or complete one (uploadId)",
    path: key,
    query: { uploads: z.literal("").optional(), ...uploadId, ...service },
    headers: writeHeaders,
    body: completionSchema.optional(),
    answers: {
      200: { description: "It has begun, or is complete and in R2.", content: { [JSON_TYPE]: storedOrUpload } },
      202: accepted,
    },
  },
  "GET /r2/:key+": {
    id: "getObject",
    tag: "objects",
    summary: "Read an object, or a range of it",
    path: key,
    query: service,
    headers: getHeaders,
    answers: objectAnswers,
  },
  "DELETE /r2/:key+": {
    id: "deleteObject",
    tag: "objects",
    summary: "Delete an object, or abort an upload",
    path: key,
    query: { ...uploadId, ...service },
    headers: writeHeaders,
    answers: { 204: { description: "It is gone from R2, or was never there." }, 202: accepted },
  },
  "GET /r2": {
    id: "listObjects",
    tag: "objects",
    summary: "List objects, and what is queued among them",
    query: {
      prefix: text,
      delimiter: text,
      limit: whole(LIST_LIMIT),
      cursor: text,
      start_after: text,
      include: text.describe(`A list out of ${[...INCLUDES.keys()].join(",")}.`),
      allow_partial: z.enum(["true", "false"]).optional(),
      ...service,
    },
    answers: { 200: { ...answer(objectList)[200], description: "A page.", headers: ["x-failover-source"] } },
  },
  "PUT /r2": { id: "putWithoutKey", tag: "objects", summary: "Refused: a key is missing", answers: withoutKey },
  "DELETE /r2": { id: "deleteWithoutKey", tag: "objects", summary: "Refused: a key is missing", answers: withoutKey },

  "GET /health/live": { id: "live", tag: "health", summary: "Liveness", answers: answer(records.live) },
  "GET /health/ready": {
    id: "ready",
    tag: "health",
    summary: "Whether reads and writes would be answered now",
    answers: {
      ...answer(records.ready),
      503: { description: "Neither would be.", content: { [JSON_TYPE]: records.ready }, headers: ["retry-after"] },
    },
  },
  "GET /health/status": {
    id: "status",
    tag: "health",
    summary: "The state of the whole",
    headers: { accept: text.describe("application/health+json for that format.") },
    answers: {
      200: {
        description: "The state.",
        content: { [JSON_TYPE]: records.systemStatus, "application/health+json": records.healthCheckJson },
      },
      503: {
        description: "The default service is offline.",
        content: { [JSON_TYPE]: records.systemStatus, "application/health+json": records.healthCheckJson },
        headers: ["retry-after"],
      },
    },
  },
  "GET /health/services": { id: "services", tag: "health", summary: "All services", answers: answer(records.services) },
  [`GET ${SERVICE}`]: {
    id: "service",
    tag: "health",
    summary: "One service, with percentiles, rollups and availability",
    path: serviceName,
    answers: answer(records.serviceDetails),
  },
  [`GET ${SERVICE}/availability`]: {
    id: "availability",
    tag: "health",
    summary: "Availability of a service",
    path: serviceName,
    query: { hours: whole(HOURS) },
    answers: answer(records.availability),
  },
  "GET /health/incidents": {
    id: "incidents",
    tag: "health",
    summary: "Incidents, newest first",
    query: { ...service, limit: whole(INCIDENTS_LIMIT) },
    answers: answer(records.incidents),
  },
  "GET /health/events": {
    id: "events",
    tag: "health",
    summary: "Events, newest first; their data needs a token",
    query: {
      service: text.describe("One service's own sequence; without it the feed of all."),
      since: text.describe("The next_since of an earlier answer."),
      limit: whole(EVENTS_LIMIT),
    },
    answers: answer(records.events),
  },
  "GET /health/ws": {
    id: "subscribe",
    tag: "health",
    summary: "A WebSocket: the state, then events; ping is answered with pong",
    query: {
      service: text.describe("One service's events and state; without it those of all."),
      since: text.describe("The next_since of an earlier answer, or <epoch>.<seq> of an earlier frame."),
    },
    answers: { 101: { description: "Subscribed." } },
  },
  "GET /health/r2/status": {
    id: "r2Status",
    tag: "health",
    summary: "The state of R2",
    query: service,
    answers: answer(records.r2Status),
  },

  "GET /metrics": {
    id: "metrics",
    tag: "formats",
    summary: "Metrics for Prometheus",
    answers: {
      200: { description: "Text, version 0.0.4.", content: { [PROMETHEUS_TYPE.split(";")[0] ?? ""]: z.string() } },
    },
  },
  "GET /health/summary.json": {
    id: "statusPageSummary",
    tag: "formats",
    summary: "The state in the shape that clients of Statuspage read",
    answers: answer(records.pageSummary),
  },
  "GET /health/badges/:serviceName/:badge": {
    id: "badge",
    tag: "formats",
    summary: "A badge",
    path: { ...serviceName, badge: z.enum(BADGES) },
    answers: { 200: { description: "An image.", content: { "image/svg+xml": z.string() } } },
  },
  "GET /openapi.json": {
    id: "openapi",
    tag: "formats",
    summary: "This description",
    answers: answer(component("OpenApi", z.looseObject({ openapi: z.string() }))),
  },

  "POST /health/check": {
    id: "check",
    tag: "services",
    summary: "Probe one service, or all, now",
    body: checkSchema,
    answers: answer(records.checked, "The metrics by service; null for one whose monitor does not answer."),
  },
  "POST /health/r2/test": {
    id: "testR2",
    tag: "services",
    summary: "Write, read and delete an object of ours, with timings",
    query: service,
    answers: answer(records.r2Test),
  },
  "POST /health/monitor/start": {
    id: "startMonitor",
    tag: "services",
    summary: "Probe one service, or all, by themselves",
    body: checkSchema,
    answers: answer(records.monitored),
  },
  "POST /health/monitor/stop": {
    id: "stopMonitor",
    tag: "services",
    summary: "Probe only when asked to",
    body: checkSchema,
    answers: answer(records.monitored),
  },
  [`PUT ${SERVICE}/mode`]: {
    id: "setMode",
    tag: "services",
    summary: "Take a service's circuits into one's own hands, or give them back",
    path: serviceName,
    body: modeSchema,
    answers: answer(records.service),
  },
  [`POST ${SERVICE}/degrade`]: {
    id: "degrade",
    tag: "services",
    summary: "Force circuits open",
    path: serviceName,
    body: degradeSchema,
    answers: answer(records.service),
  },
  [`POST ${SERVICE}/recover`]: {
    id: "recover",
    tag: "services",
    summary: "Give the circuits back, and let writes in",
    path: serviceName,
    body: recoverSchema,
    answers: answer(records.service),
  },
  [`GET ${SERVICE}/faults`]: {
    id: "getFaults",
    tag: "services",
    summary: "The faults that are injected",
    path: serviceName,
    answers: answer(faults),
  },
  [`PUT ${SERVICE}/faults`]: {
    id: "putFaults",
    tag: "services",
    summary: "Inject these faults, and no others",
    path: serviceName,
    body: faultsSchema,
    answers: answer(faults),
  },
  [`DELETE ${SERVICE}/faults`]: {
    id: "deleteFaults",
    tag: "services",
    summary: "Inject no faults",
    path: serviceName,
    answers: answer(faults),
  },

  "GET /health/queue/status": {
    id: "queueStatus",
    tag: "queue",
    summary: "The queue's state; its shards need a token",
    query: service,
    answers: answer(records.queueStatus),
  },
  "GET /health/queue/operations": {
    id: "listOperations",
    tag: "queue",
    summary: "Operations, newest first; a user's own for a user",
    query: {
      status: statusSchema.optional(),
      user_id: text,
      key: text,
      limit: whole(OPERATIONS_LIMIT),
      cursor: text,
      ...service,
    },
    answers: answer(records.operations),
  },
  [`GET ${OPERATION}`]: {
    id: "getOperation",
    tag: "queue",
    summary: "One operation",
    path: id,
    query: service,
    answers: answer(records.operation),
  },
  [`GET ${OPERATION}/payload`]: {
    id: "getPayload",
    tag: "queue",
    summary: "The bytes that are kept for an operation",
    path: id,
    query: service,
    answers: { 200: { description: "The bytes.", content: { [BYTES]: bytes } } },
  },
  [`POST ${OPERATION}/retry`]: {
    id: "retryOperation",
    tag: "queue",
    summary: "Try an operation again, now",
    path: id,
    query: service,
    body: retrySchema,
    answers: answer(records.operation),
  },
  [`POST ${OPERATION}/cancel`]: {
    id: "cancelOperation",
    tag: "queue",
    summary: "Give an operation up",
    path: id,
    query: service,
    answers: answer(records.operation),
  },
  "GET /health/queue/export": {
    id: "exportQueue",
    tag: "queue",
    summary: "All pending and parked operations: manifest.jsonl, payloads/<operation id>, problems/<operation id>",
    query: { allow_partial: z.enum(["true", "false"]).optional(), ...service },
    answers: { 200: { description: "A tar archive, streamed.", content: { "application/x-tar": bytes } } },
  },
  "POST /health/queue/redrive": {
    id: "redrive",
    tag: "queue",
    summary: "Try all dead letters again",
    body: redriveSchema,
    answers: answer(records.redriven),
  },
  "POST /health/queue/pause": {
    id: "pauseQueue",
    tag: "queue",
    summary: "Apply nothing until resumed",
    body: serviceSchema,
    answers: answer(records.paused),
  },
  "POST /health/queue/resume": {
    id: "resumeQueue",
    tag: "queue",
    summary: "Apply again what is queued",
    body: serviceSchema,
    answers: answer(records.paused),
  },

  "GET /health/config": { id: "getConfig", tag: "config", summary: "All settings", answers: answer(records.settings) },
  "PUT /health/config/:service/:key": {
    id: "putConfig",
    tag: "config",
    summary: "Change a setting",
    path: { service: z.string(), key: z.string() },
    body: settingSchema,
    answers: answer(records.setting),
  },
};
