/** What R2 and the platform do to a service between two calls. */
import fc from "fast-check";
import type { FaultRule } from "../../src/shared/protocol";
import { BLINDING, FAULTS } from "../worker/model/program";

const MORE_FAULTS = {
  bodies_truncated: [{ operations: ["get"], truncate_body: true }],
  some_bodies_truncated: [{ operations: ["get"], truncate_body: true, error_rate: 0.5 }],
  reads_slow: [{ operations: "read", latency_ms: 20 }],
  writes_slow: [{ operations: "write", latency_ms: 25 }],
  lists_fail: [{ operations: ["list"] }],
  creates_fail: [{ operations: ["createMultipartUpload"] }],
  parts_fail: [{ operations: ["uploadPart"] }],
  some_parts_fail: [{ operations: ["uploadPart"], error_rate: 0.5 }],
  parts_lose_reply: [{ operations: ["uploadPart"], lose_reply: true }],
  parts_land_late: [{ operations: ["uploadPart"], latency_ms: 150, land_late: true }],
  completes_fail: [{ operations: ["complete"] }],
  completes_hang: [{ operations: ["complete"], hang: true }],
  completes_lose_reply: [{ operations: ["complete"], lose_reply: true }],
  completes_land_late: [{ operations: ["complete"], latency_ms: 150, land_late: true }],
  aborts_fail: [{ operations: ["abort"] }],
  aborts_lose_reply: [{ operations: ["abort"], lose_reply: true }],
  heads_fail: [{ operations: ["head"] }],
} as const satisfies Record<string, readonly FaultRule[]>;

const ALL_FAULTS: Readonly<Record<string, readonly FaultRule[]>> = { ...FAULTS, ...MORE_FAULTS };
const BLINDING_FAULTS: ReadonlySet<string> = new Set([...BLINDING, "heads_fail"]);

/** `told`: the isolate that hears of it at once; null: all. The others hear of it after a lease. */
export type Weather =
  | { readonly do: "faults"; readonly name: string; readonly told: number | null }
  | { readonly do: "degrade" | "recover"; readonly told: number | null }
  /** `soon`: while the next call runs. */
  | { readonly do: "abort_shard"; readonly key: number; readonly soon: boolean }
  | { readonly do: "abort_service" | "pause" | "resume" | "lease" | "refresh" }
  /** R2's replies to reads take this much longer to arrive. */
  | { readonly do: "late_replies"; readonly ms: number }
  | { readonly do: "wait"; readonly ms: number };

export function rulesOf(name: string): readonly FaultRule[] {
  return ALL_FAULTS[name] ?? [];
}

/** Whether R2 can be read by none, or not by all. */
export function isBlinding(weather: Weather): boolean {
  return weather.do === "degrade" || (weather.do === "faults" && BLINDING_FAULTS.has(weather.name));
}

export function weathers(isolates: number, keys: number): fc.Arbitrary<Weather> {
  const told = fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(isolates - 1) });
  const fault = fc.oneof(
    { weight: 1, arbitrary: fc.constant("none") },
    { weight: 1, arbitrary: fc.constantFrom(...Object.keys(ALL_FAULTS)) },
  );
  return fc.oneof(
    { weight: 8, arbitrary: fc.record({ do: fc.constant("faults"), name: fault, told }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("recover", "recover", "degrade"), told }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("abort_shard"), key: fc.nat(keys - 1), soon: fc.boolean() }) },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constantFrom("refresh", "resume", "resume", "pause", "lease", "abort_service") }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("late_replies"), ms: fc.constantFrom(0, 10, 25) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("wait"), ms: fc.constantFrom(5, 30, 100, 250) }) },
  );
}
