import type { Step } from "../../../durable-objects/queue/steps";

/** Where a shard dies: at the nth time that it comes to a step, before the step's work is done or right after it. */
export interface Crash {
  readonly step: Step;
  readonly nth: number;
}

/**
 * Every step, and some of them at several places: metadata is sealed, and a payload of 2.5 MiB read, hashed and sealed in
 * three chunks, and closed by a fourth digest; then come small payloads, which are handled whole.
 */
export const CRASHES: readonly Crash[] = [
  { step: "enqueue.reserve", nth: 1 },
  { step: "enqueue.reserve", nth: 3 },
  { step: "enqueue.read", nth: 1 },
  { step: "enqueue.read", nth: 3 },
  { step: "enqueue.digest", nth: 2 },
  { step: "enqueue.digest", nth: 4 },
  { step: "enqueue.seal", nth: 3 },
  { step: "enqueue.seal", nth: 4 },
  { step: "enqueue.seal", nth: 5 },
  { step: "enqueue.decide", nth: 1 },
  { step: "enqueue.confirm", nth: 1 },
  { step: "ask.reserve", nth: 1 },
  { step: "ask.confirm", nth: 1 },
  { step: "claim.grant", nth: 1 },
  { step: "apply.open", nth: 1 },
  { step: "apply.head", nth: 1 },
  { step: "apply.read", nth: 1 },
  { step: "apply.put", nth: 1 },
  { step: "apply.put", nth: 3 },
  { step: "apply.verify", nth: 1 },
  { step: "apply.delete", nth: 1 },
  { step: "drain.wait", nth: 1 },
  { step: "drain.wait", nth: 4 },
];

/**
 * Multipart uploads: one that is begun in the queue, where it matters of two parts, the first streamed in five chunks;
 * one that is begun in R2, with its part there; one whose key is feared; and one that is aborted.
 */
export const MULTIPART_CRASHES: readonly Crash[] = [
  { step: "upload.reserve", nth: 1 },
  { step: "upload.reserve", nth: 2 },
  { step: "upload.seal", nth: 1 },
  { step: "upload.open", nth: 1 },
  { step: "enqueue.read", nth: 3 },
  { step: "enqueue.digest", nth: 6 },
  { step: "enqueue.seal", nth: 6 },
  { step: "complete.reserve", nth: 1 },
  { step: "complete.open", nth: 1 },
  { step: "complete.etag", nth: 1 },
  { step: "complete.seal", nth: 1 },
  { step: "complete.confirm", nth: 1 },
  { step: "apply.create", nth: 1 },
  { step: "apply.part", nth: 1 },
  { step: "apply.part", nth: 2 },
  { step: "apply.complete", nth: 1 },
  { step: "apply.complete", nth: 3 },
  { step: "apply.head", nth: 1 },
  { step: "apply.verify", nth: 1 },
  { step: "apply.abort", nth: 1 },
];
