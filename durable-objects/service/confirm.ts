/**
 * One isolate is not the world: when the service-wide circuit may open. Pure.
 *
 * A class is suspect when the triggers are met over all reports, or when somebody says that its own circuit is open. It
 * is confirmed when two distinct reporters agree within the window; else a probe made at once decides.
 */
import type { CircuitState, ClassCounts } from "../../src/shared/protocol";

/** `open`: the reporter's own circuit is. `failing`: at least as many failures as successes in its last report. */
type Accusation = { readonly kind: "open" | "failing"; readonly at: number };

/** Who accuses the service, by reporter. */
export type Accusations = Map<string, Accusation>;

export type Suspicion = "none" | "suspect" | "confirmed";

/** Takes down what a reporter says. Without outcomes it only takes back that its circuit is open. */
export function hear(
  accusations: Accusations,
  reporter: string,
  circuit: CircuitState,
  counts: Pick<ClassCounts, "success" | "failure">,
  now: number,
): void {
  const { success, failure } = counts;
  if (circuit === "OPEN" || circuit === "HALF_OPEN") accusations.set(reporter, { kind: "open", at: now });
  else if (failure > 0 && failure >= success) accusations.set(reporter, { kind: "failing", at: now });
  else if (success > 0 || accusations.get(reporter)?.kind === "open") accusations.delete(reporter);
}

/** `triggersMet`: over all reports together. */
export function suspicion(accusations: Accusations, triggersMet: boolean, now: number, windowMs: number): Suspicion {
  let open = 0;
  for (const [reporter, accusation] of accusations) {
    if (now - accusation.at > windowMs) accusations.delete(reporter);
    else if (accusation.kind === "open") open += 1;
  }
  if (open >= 2 || (triggersMet && accusations.size >= 2)) return "confirmed";
  return triggersMet || open > 0 ? "suspect" : "none";
}
