import { DEFAULT_SERVICE, type FailoverEnv, rawBucket } from "../shared/env";
import { FailoverError } from "../shared/errors";
import type { FaultRule, OperationClass } from "../shared/protocol";
import { injectFaults } from "./fault-injector";
import { freshen, isolateState, isStale } from "./isolate-service";
import type { IsolateState } from "./isolate-state";

export interface BucketOptions {
  /** Default `R2_STORAGE`. */
  readonly service?: string;
  /**
   * When others' queued writes are read: `bounded` (default), within one lease; `strong`, at once, at the price of one
   * object call a read. One's own are read at once in the same isolate either way.
   */
  readonly consistency?: "bounded" | "strong";
}

/** What the calls of one FailoverBucket share. */
export interface Session {
  readonly env: FailoverEnv;
  readonly service: string;
  readonly state: IsolateState;
  /** R2 with its calls counted and faults injected. */
  readonly r2: R2Bucket;
  readonly isStrong: boolean;
}

const NO_FAULTS: readonly FaultRule[] = [];

export function openSession(env: FailoverEnv, options: BucketOptions): Session {
  const service = options.service ?? DEFAULT_SERVICE;
  const state = isolateState(service);
  const rules = () => (env.FAULT_INJECTION === "on" ? (state.snapshot?.faults ?? NO_FAULTS) : NO_FAULTS);
  const r2 = injectFaults(rawBucket(env, service), rules, {
    onCall: (method) => {
      state.bucketCalls[method] = (state.bucketCalls[method] ?? 0) + 1;
    },
    now: Date.now,
    random: Math.random,
  });
  return { env, service, state, r2, isStrong: options.consistency === "strong" };
}

/** Before every call: sees to it that there is a snapshot to decide by. Costs nothing within the lease. */
export async function prepare({ env, state }: Session, operationClass: OperationClass): Promise<void> {
  if (isStale(state, Date.now())) await freshen(env, state, operationClass);
}

export function refuseWhenReadOnly({ state }: Session): void {
  if (state.snapshot?.readOnly !== true) return;
  const retryAfter = READ_ONLY_RETRY_AFTER_S;
  throw new FailoverError("READ_ONLY", "The service is read-only for now. Nothing was written.", { retryAfter });
}

const OBJECT_RETRY_AFTER_S = 2;
const READ_ONLY_RETRY_AFTER_S = 30;

/** R2 admits nothing, or has failed, and nothing else can answer. */
export function unavailable(message: string, retryAfter = OBJECT_RETRY_AFTER_S, cause?: unknown): FailoverError {
  return new FailoverError("SERVICE_UNAVAILABLE", message, { retryAfter, cause });
}
