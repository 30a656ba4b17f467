/** Random programs: what isolates, R2, operators and the platform do to a few keys of one service. */
import fc from "fast-check";
import type { FaultRule } from "../../../src/shared/protocol";

export const ISOLATES = 3;
export const KEYS = 2;

export const BODIES = ["text", "buffer", "view", "blob", "stream", "sized", "empty", "twin", "large"] as const;
export type BodyKind = (typeof BODIES)[number];

const CONDITIONS = ["matches_current", "matches_nothing", "create", "differs_from_current"] as const;
export type ConditionKind = (typeof CONDITIONS)[number];

/** What R2 may do. A late landing comes after the deadline (80 ms) and well before the end of the fence (1,280 ms). */
export const FAULTS = {
  none: [],
  writes_fail: [{ operations: "write" }],
  puts_unspecified: [{ operations: ["put"], error_code: 0 }],
  puts_lose_reply: [{ operations: ["put"], lose_reply: true }],
  puts_land_late: [{ operations: ["put"], latency_ms: 150, land_late: true }],
  some_puts_land_late: [{ operations: ["put"], latency_ms: 150, land_late: true, error_rate: 0.5 }],
  puts_slow: [{ operations: ["put"], latency_ms: 30 }],
  puts_throttled: [{ operations: ["put"], error_code: 10058, error_rate: 0.5 }],
  writes_hang: [{ operations: "write", hang: true }],
  deletes_fail: [{ operations: ["delete"] }],
  deletes_lose_reply: [{ operations: ["delete"], lose_reply: true }],
  reads_fail: [{ operations: "read" }],
  reads_hang: [{ operations: "read", hang: true }],
  all_fail: [{ operations: "all" }],
  some_fail: [{ operations: "all", error_rate: 0.5 }],
  some_replies_lost: [{ operations: "write", lose_reply: true, error_rate: 0.5 }],
} as const satisfies Record<string, readonly FaultRule[]>;
export type FaultName = keyof typeof FAULTS;

export const BLINDING: ReadonlySet<FaultName> = new Set(["reads_fail", "reads_hang", "all_fail", "some_fail"]);

export interface Put {
  readonly do: "put";
  readonly isolate: number;
  readonly key: number;
  readonly body: BodyKind;
  readonly condition: ConditionKind | null;
  readonly priority: number;
}

export interface Delete {
  readonly do: "delete";
  readonly isolate: number;
  readonly key: number;
}

export type Write = Put | Delete;

export type Step =
  | Write
  | { readonly do: "both"; readonly one: Write; readonly other: Write; readonly dies: boolean }
  | {
      readonly do: "read";
      readonly isolate: number;
      readonly key: number;
      readonly how: "get" | "head" | "range";
      readonly isStrong: boolean;
    }
  /** `told`: the isolate that hears of it at once; null: all. The others hear of it after a lease. */
  | { readonly do: "faults"; readonly name: FaultName; readonly told: number | null }
  | { readonly do: "degrade" | "recover"; readonly told: number | null }
  | { readonly do: "abort_shard"; readonly key: number }
  | { readonly do: "abort_service" | "pause" | "resume" | "lease" | "refresh" }
  | { readonly do: "cancel" | "retry"; readonly which: number }
  | { readonly do: "wait"; readonly ms: number };

export interface Program {
  readonly leaseCapMs: number;
  readonly maxRetries: number;
  readonly steps: readonly Step[];
}

const isolate = fc.nat(ISOLATES - 1);
const key = fc.nat(KEYS - 1);
const told = fc.oneof(fc.constant(null), isolate);

const put: fc.Arbitrary<Put> = fc.record({
  do: fc.constant("put"),
  isolate,
  key,
  body: fc.constantFrom(...BODIES),
  condition: fc.oneof(
    { weight: 3, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constantFrom(...CONDITIONS) },
  ),
  priority: fc.constantFrom(5, 1, 10),
});
const remove: fc.Arbitrary<Delete> = fc.record({ do: fc.constant("delete"), isolate, key });
const write: fc.Arbitrary<Write> = fc.oneof({ weight: 3, arbitrary: put }, { weight: 1, arbitrary: remove });

const together: fc.Arbitrary<Step> = fc
  .record({ one: write, other: write, sameKey: fc.boolean(), dies: fc.nat(3).map((n) => n === 3) })
  .map(({ one, other, sameKey, dies }) => ({
    do: "both",
    one,
    other: sameKey ? { ...other, key: one.key } : other,
    dies,
  }));

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: write },
  { weight: 4, arbitrary: together },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("read"),
      isolate,
      key,
      how: fc.constantFrom("get", "head", "range"),
      isStrong: fc.boolean(),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("faults"), name: fc.constantFrom(...faultNames()), told }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("degrade", "degrade", "recover"), told }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("abort_shard"), key }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom("abort_service", "pause", "resume", "lease", "refresh") }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("cancel", "retry"), which: fc.nat(9) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("wait"), ms: fc.constantFrom(5, 30, 100, 250) }) },
);

/** One isolate is in trouble and its write is queued; another one has not heard of it, and writes the same key. */
const overtaking: fc.Arbitrary<readonly Step[]> = fc
  .record({ queued: put, direct: write, trouble: fc.constantFrom(...troubles()) })
  .map(({ queued, direct, trouble }) => {
    const { isolate: told, key: one } = queued;
    const other = direct.isolate === told ? (told + 1) % ISOLATES : direct.isolate;
    const begin: Step = trouble === "degrade" ? { do: "degrade", told } : { do: "faults", name: trouble, told };
    return [{ do: "refresh" }, begin, queued, { ...direct, isolate: other, key: one }];
  });

function troubles(): readonly (FaultName | "degrade")[] {
  return ["degrade", "degrade", "writes_fail", "puts_lose_reply", "puts_land_late", "writes_hang"];
}

const steps: fc.Arbitrary<readonly Step[]> = fc
  .array(
    fc.oneof(
      { weight: 9, arbitrary: step.map((only): readonly Step[] => [only]) },
      { weight: 1, arbitrary: overtaking },
    ),
    { minLength: 3, maxLength: 18, size: "max" },
  )
  .map((parts) => parts.flat());

function faultNames(): FaultName[] {
  return Object.keys(FAULTS) as FaultName[];
}

export const programs: fc.Arbitrary<Program> = fc.record({
  leaseCapMs: fc.constantFrom(150, 600, 2_000),
  maxRetries: fc.constantFrom(3, 100, 0),
  steps,
});
