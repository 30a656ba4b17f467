/**
 * One isolate is not the world: when the service-wide circuit may open. Pure.
 *
 * A class is suspect when the triggers are met over all reports, or when somebody says that its own circuit is open. It
 * is confirmed when two distinct reporters agree within the window; else a probe made at once decides. A probe that went
 * well answers what was said before it began: it takes fresh evidence to ask for another one.
 */
import type { CircuitState, ClassCounts } from "../../src/shared/protocol";

/** `open`: the reporter's own circuit is. `failing`: at least as many failures as successes in its last report. */
interface Accusation {
  readonly kind: "open" | "failing";
  readonly at: number;
}

/** Who accuses a class of the service. */
export interface Accusations {
  readonly byReporter: Map<string, Accusation>;
  lastFailureAt: number;
  /** When the last probe began that went well. */
  answeredAt: number;
}

export type Suspicion = "none" | "suspect" | "confirmed";

export function createAccusations(): Accusations {
  return { byReporter: new Map(), lastFailureAt: Number.NEGATIVE_INFINITY, answeredAt: Number.NEGATIVE_INFINITY };
}

/** Takes down what a reporter says. Without outcomes it only takes back that its circuit is open. */
export function hear(
  accusations: Accusations,
  reporter: string,
  circuit: CircuitState,
  counts: Pick<ClassCounts, "success" | "failure">,
  now: number,
): void {
  const { byReporter } = accusations;
  const { success, failure } = counts;
  const isOpen = circuit === "OPEN" || circuit === "HALF_OPEN";
  if (isOpen || failure > 0) accusations.lastFailureAt = now;
  if (isOpen) byReporter.set(reporter, { kind: "open", at: now });
  else if (failure > 0 && failure >= success) byReporter.set(reporter, { kind: "failing", at: now });
  else if (success > 0 || byReporter.get(reporter)?.kind === "open") byReporter.delete(reporter);
}

/** A probe that began at `startedAt` went well. */
export function answer(accusations: Accusations, startedAt: number): void {
  accusations.answeredAt = startedAt;
}

/** `triggersMet`: over all reports together. */
export function suspicion(accusations: Accusations, triggersMet: boolean, now: number, windowMs: number): Suspicion {
  const { byReporter, lastFailureAt, answeredAt } = accusations;
  let open = 0;
  for (const [reporter, accusation] of byReporter) {
    if (now - accusation.at > windowMs) byReporter.delete(reporter);
    else if (accusation.kind === "open") open += 1;
  }
  if (open >= 2 || (triggersMet && byReporter.size >= 2)) return "confirmed";
  return (triggersMet || open > 0) && lastFailureAt > answeredAt ? "suspect" : "none";
}
