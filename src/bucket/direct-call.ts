/** One call to R2: with a deadline, retried in place where R2 only asks for patience, and its result taken down. */
import type { Permit } from "../circuit/circuit";
import { FENCE_MARGIN_MS } from "../shared/fence";
import { type BucketMethod, type DirectCall, methodClass, type Outcome } from "../shared/protocol";
import { ended } from "./admission";
import { type OwedClock, withDeadline } from "./deadline";
import { reportIfDue, reportSoon } from "./isolate-service";
import { configOf } from "./isolate-state";
import { classifyR2Error, R2TimeoutError } from "./r2-errors";
import type { Session } from "./session";

const THROTTLED_RETRIES = 2;
const THROTTLED_MIN_MS = 100;
const THROTTLED_MAX_MS = 1_000;

export interface R2Call<T> {
  readonly method: BucketMethod;
  readonly permit: Permit | null;
  /** Shorter than the config's, for a call that others wait for. */
  readonly timeoutMs?: number;
  /** `giveUpAt`: this isolate's clock, when the call is given up. */
  readonly send: (clock: OwedClock, giveUpAt: number) => Promise<T>;
  /** Throws if the arguments are bad: the binding's own errors for that carry no code. */
  readonly check?: () => void;
  /** The body, when it may only be sent once, and may break by itself. */
  readonly body?: { readonly canReplay: boolean; readonly broken: { readonly error: unknown } | null };
}

/** A call that R2 has failed. */
export interface FailedCall {
  readonly callId: string;
  readonly startedAt: number;
  /** Until then it may land. Null: R2 has answered, nothing can. */
  readonly fenceAt: number | null;
}

export type R2Result<T> =
  | { readonly kind: "answered"; readonly value: T }
  | { readonly kind: "failed"; readonly call: FailedCall; readonly cause: unknown };

/** Rejects with the caller's own errors only, untouched: bad arguments, and a body that broke. */
export async function callR2<T>(session: Session, call: R2Call<T>): Promise<R2Result<T>> {
  const { method } = call;
  const config = configOf(session.state);
  const timeoutMs =
    call.timeoutMs ?? (methodClass(method) === "read" ? config.read_timeout_ms : config.write_timeout_ms);
  const giveUpAt = Date.now() + timeoutMs;
  for (let retries = 0; ; retries += 1) {
    const startedAt = Date.now();
    const fenceAt = startedAt + timeoutMs + FENCE_MARGIN_MS;
    try {
      const late = () => new R2TimeoutError(method, timeoutMs);
      const value = await withDeadline(timeoutMs, late, (clock) => call.send(clock, startedAt + timeoutMs));
      takeDown(session, call, "success", startedAt);
      return { kind: "answered", value };
    } catch (error) {
      const { outcome, answered } = verdictOf(error, call);
      if (outcome === "throttled" && retries < THROTTLED_RETRIES && call.body?.canReplay !== false) {
        const pauseMs = THROTTLED_MIN_MS + Math.random() * (THROTTLED_MAX_MS - THROTTLED_MIN_MS);
        if (Date.now() + pauseMs < giveUpAt) {
          // The permit is kept for the retry.
          takeDown(session, { ...call, permit: null }, outcome, startedAt);
          await new Promise((resolve) => setTimeout(resolve, pauseMs));
          continue;
        }
      }
      takeDown(session, call, outcome, startedAt);
      if (outcome === "ignored") throw call.body?.broken ? call.body.broken.error : error;
      const failed = { callId: crypto.randomUUID(), startedAt, fenceAt: answered ? null : fenceAt };
      return { kind: "failed", call: failed, cause: error };
    }
  }
}

/** The call as the queue is told of it: durations instead of times, because clocks differ. */
export function directCall(call: FailedCall, now: number): DirectCall {
  return {
    callId: call.callId,
    startedMsAgo: now - call.startedAt,
    // Past its fence, but never answered: it may have landed at any time since.
    fenceInMs: call.fenceAt === null ? 0 : Math.max(1, call.fenceAt - now),
  };
}

function verdictOf<T>(error: unknown, call: R2Call<T>): { outcome: Outcome; answered: boolean } {
  if (call.body?.broken) return { outcome: "ignored", answered: true };
  const { outcome, code, answered } = classifyR2Error(error);
  if (outcome === "caller") return { outcome: "ignored", answered };
  if (code === null && !(error instanceof R2TimeoutError) && areArgumentsBad(error, call)) {
    return { outcome: "ignored", answered: true };
  }
  return { outcome, answered };
}

function areArgumentsBad<T>(error: unknown, call: R2Call<T>): boolean {
  if (error instanceof RangeError) return true;
  try {
    call.check?.();
    return false;
  } catch {
    return true;
  }
}

function takeDown<T>(session: Session, call: R2Call<T>, outcome: Outcome, startedAt: number): void {
  const { env, state } = session;
  const now = Date.now();
  const isPrompted = ended(state, methodClass(call.method), call.permit, outcome, now - startedAt, now);
  if (isPrompted) reportSoon(env, state);
  else reportIfDue(env, state);
}
