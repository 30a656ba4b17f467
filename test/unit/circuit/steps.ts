import fc from "fast-check";
import type { CircuitSettings } from "../../../src/circuit/settings";
import type { Outcome } from "../../../src/shared/protocol";
import type { ServiceMode } from "../../../src/shared/records";
import { ISOLATE } from "./support";

export type Step =
  | { readonly do: "advance"; readonly ms: number }
  | { readonly do: "acquire"; readonly drawn: number }
  /** Gives back one of the permits that are out: of any age, and perhaps given back before. */
  | { readonly do: "record"; readonly which: number; readonly outcome: Outcome }
  /** Acquires and records at once, `times` over. */
  | { readonly do: "call"; readonly outcome: Outcome; readonly times: number; readonly drawn: number }
  | { readonly do: "report"; readonly success: number; readonly failure: number }
  | { readonly do: "trip" }
  | { readonly do: "force"; readonly mode: ServiceMode }
  | { readonly do: "restart" };

const outcome = fc.constantFrom<Outcome>("success", "failure", "failure", "throttled", "ignored");
const drawn = fc.double({ min: 0, max: 0.999, noNaN: true });

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("advance"), ms: fc.oneof(fc.nat(20), fc.nat(1_500), fc.nat(90_000)) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("acquire"), drawn }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("record"), which: fc.nat(), outcome }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("call"), outcome, times: fc.integer({ min: 1, max: 6 }), drawn }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("report"), success: fc.nat(5), failure: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("trip") }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("force"),
      mode: fc.constantFrom<ServiceMode>("auto", "auto", "auto", "forced_open", "forced_closed", "metrics_only"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart") }) },
);

export const steps = fc.array(step, { maxLength: 120 });

/** Small numbers, so that every trigger is met often. */
export const settings: fc.Arbitrary<CircuitSettings> = fc.record({
  threshold: fc.integer({ min: 1, max: 6 }),
  failureRateThreshold: fc.constantFrom(1, 30, 50, 100),
  minimumCalls: fc.integer({ min: 1, max: 12 }),
  windowMs: fc.constantFrom(1_000, 10_000, 60_000),
  baseOpenMs: fc.constantFrom(100, 1_000),
  maxOpenMs: fc.constantFrom(1_000, 60_000),
  stableMs: fc.constantFrom(1_000, 60_000),
  trialSuccesses: fc.integer({ min: 1, max: 3 }),
  trialMs: fc.constant(ISOLATE.trialMs),
  rampMs: fc.constantFrom(1_000, 10_000),
  rampFrom: fc.constant(ISOLATE.rampFrom),
  trials: fc.constantFrom("probes", "ratio"),
  halfOpenRatio: fc.constant(ISOLATE.halfOpenRatio),
  opens: fc.constantFrom("itself", "when_confirmed"),
});
