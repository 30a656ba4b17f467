/**
 * The awaits of enqueue, claim, apply and complete, by name. At each of them the object may die, and other events may
 * interleave; a test dies at each (test/worker/queue/crash.test.ts), and fails when an await has no name here.
 */
export const STEPS = [
  "enqueue.digest",
  "enqueue.seal",
  "enqueue.read",
  "enqueue.decide",
  "enqueue.reserve",
  "enqueue.confirm",
  "ask.reserve",
  "ask.confirm",
  "upload.reserve",
  "upload.seal",
  "upload.open",
  "complete.reserve",
  "complete.open",
  "complete.etag",
  "complete.seal",
  "complete.confirm",
  "claim.grant",
  "apply.open",
  "apply.head",
  "apply.read",
  "apply.put",
  "apply.verify",
  "apply.delete",
  "apply.create",
  "apply.part",
  "apply.complete",
  "apply.abort",
  "drain.wait",
] as const;

export type Step = (typeof STEPS)[number];

export interface Steps {
  at<T>(step: Step, work: Promise<T>): Promise<T>;
}

export const PLAIN_STEPS: Steps = { at: (_, work) => work };
