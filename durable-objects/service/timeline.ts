/** A service over time, out of the moments at which it changed. Pure. */
import { type CircuitState, OPERATION_CLASSES, type OperationClass } from "../../src/shared/protocol";
import type { ServiceStatus } from "../../src/shared/records";
import { isRejecting } from "./status";

export interface KnownState {
  readonly status: ServiceStatus;
  readonly circuits: Readonly<Record<OperationClass, CircuitState>>;
}

/** From `startedAt` to the next change. Null: nobody looked. */
export interface StateChange {
  readonly startedAt: number;
  readonly state: KnownState | null;
}

/** A stretch of time in which the state was known and the same. */
export interface Span extends KnownState {
  readonly from: number;
  readonly to: number;
}

export function isSameState(a: KnownState | null, b: KnownState | null): boolean {
  if (a === null || b === null) return a === b;
  return a.status === b.status && OPERATION_CLASSES.every((c) => a.circuits[c] === b.circuits[c]);
}

/**
 * What is known of the time from `from` to `to`. `changes` are oldest first, and begin with the one in force at `from`,
 * if there is one. Nothing is known beyond `knownUntil`.
 */
export function spansOf(changes: readonly StateChange[], from: number, to: number, knownUntil: number): Span[] {
  const end = Math.min(to, knownUntil);
  return changes.flatMap(({ startedAt, state }, i) => {
    const start = Math.max(from, startedAt);
    const stop = Math.min(end, changes[i + 1]?.startedAt ?? end);
    return state === null || stop <= start ? [] : [{ ...state, from: start, to: stop }];
  });
}

/** A class is down while its circuit lets nothing through, by itself or by hand. */
export const isClassDown =
  (operationClass: OperationClass) =>
  ({ circuits }: KnownState): boolean =>
    isRejecting(circuits[operationClass]);

/** A service is down while any of its circuits is. */
export function isServiceDown(state: KnownState): boolean {
  return OPERATION_CLASSES.some((c) => isClassDown(c)(state));
}

export function totalMs(spans: readonly Span[], counts: (span: Span) => boolean = () => true): number {
  return spans.reduce((sum, span) => (counts(span) ? sum + span.to - span.from : sum), 0);
}

export interface Downtime {
  readonly status: ServiceStatus;
  readonly from: number;
  readonly to: number;
}

/** When the service was down, oldest first. A status that lasts over several changes of a circuit is one stretch. */
export function downtimes(spans: readonly Span[]): Downtime[] {
  const found: Downtime[] = [];
  for (const span of spans) {
    if (!isServiceDown(span)) continue;
    const last = found.at(-1);
    if (last?.to === span.from && last.status === span.status) found[found.length - 1] = { ...last, to: span.to };
    else found.push({ status: span.status, from: span.from, to: span.to });
  }
  return found;
}

/** How much of the time from `from` to `to` the stretches cover; they do not overlap each other. */
export function overlapMs(
  stretches: readonly { readonly from: number; readonly to: number }[],
  from: number,
  to: number,
): number {
  return stretches.reduce((sum, one) => sum + Math.max(0, Math.min(to, one.to) - Math.max(from, one.from)), 0);
}
