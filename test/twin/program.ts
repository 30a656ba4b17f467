/** Random programs: calls, and the weather between them. */
import fc from "fast-check";
import { begins, type Call, calls, KEYS, puts, uploadShapes } from "./spec";
import { type Weather, weathers } from "./weather";

export const ISOLATES = 2;
const CALLS = 60;
/** Of the longest upload. */
const UPLOAD_STEPS = 6;
const OUTAGE: readonly Weather[] = [{ do: "degrade", told: null }];

export interface Step {
  readonly weather: readonly Weather[];
  readonly call: Call;
  readonly isolate: number;
  /** Asked for `strong`, or `bounded` where that must answer the same. */
  readonly isStrong: boolean;
}

export interface Program {
  readonly leaseCapMs: number;
  readonly steps: readonly Step[];
}

const weather = weathers(ISOLATES, KEYS.length);
const isolate = fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(ISOLATES - 1) });
const around = {
  weather: fc.oneof(
    { weight: 3, arbitrary: fc.constant<Weather[]>([]) },
    { weight: 2, arbitrary: fc.array(weather, { minLength: 1, maxLength: 2 }) },
  ),
  isolate,
  isStrong: fc.boolean(),
};
const step: fc.Arbitrary<Step> = fc.record({ ...around, call: calls });

/** Steps that belong together. */
type Scene = readonly Step[];

const TROUBLES = ["writes_fail", "puts_lose_reply", "puts_land_late", "writes_hang"];

/** One isolate is in trouble and its put is queued. Another one has not heard of it, and writes the same key past it. */
const overtaking: fc.Arbitrary<Scene> = fc
  .record({ queued: puts, direct: puts, trouble: fc.constantFrom(null, ...TROUBLES), isStrong: fc.boolean() })
  .map(({ queued, direct, trouble, isStrong }) => {
    const begin: Weather = trouble === null ? { do: "degrade", told: 0 } : { do: "faults", name: trouble, told: 0 };
    return [
      { weather: [{ do: "refresh" }, begin], call: { ...queued, condition: null }, isolate: 0, isStrong },
      { weather: [], call: { ...direct, key: queued.key, condition: null }, isolate: 1, isStrong },
    ];
  });

/** What was queued is drained under its readers, and the replies that they get are late. */
const draining: fc.Arbitrary<Scene> = fc
  .record({ queued: puts, reads: fc.array(fc.constantFrom("get", "head"), { minLength: 2, maxLength: 4 }), isolate })
  .map(({ queued, reads, isolate: reader }) => {
    const { key } = queued;
    const begin: Weather[] = [
      { do: "faults", name: "none", told: null },
      { do: "late_replies", ms: 25 },
      { do: "resume" },
      { do: "recover", told: null },
    ];
    const whole = { range: null, condition: null, reads: "bytes" } as const;
    return [
      { weather: [{ do: "degrade", told: null }], call: { ...queued, condition: null }, isolate: 0, isStrong: true },
      ...reads.map((read, n) => ({
        weather: n === 0 ? begin : [],
        call: read === "get" ? ({ do: "get", key, ...whole } as const) : ({ do: "head", key } as const),
        isolate: reader,
        isStrong: true,
      })),
    ];
  });

/**
 * An upload from its beginning to its end, each call in some weather and in some isolate, with other calls in between; or
 * all of it in one outage. Then its object is read.
 */
const uploading: fc.Arbitrary<Scene> = fc
  .record({
    begin: begins,
    shape: uploadShapes,
    isCompleted: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
    isInOneOutage: fc.oneof({ weight: 2, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    around: fc.array(fc.record(around), { minLength: UPLOAD_STEPS, maxLength: UPLOAD_STEPS }),
    others: fc.array(fc.record({ at: fc.nat(UPLOAD_STEPS - 1), step }), { maxLength: 2 }),
  })
  .map(({ begin, shape, isCompleted, isInOneOutage, around: surroundings, others }) => {
    const { slot, key } = begin;
    const own: Call[] = [
      begin,
      ...shape.sent.map((part) => ({ do: "part" as const, slot, ...part })),
      isCompleted ? { do: "complete", slot, parts: shape.completed } : { do: "abort", slot },
      { do: "get", key, range: null, condition: null, reads: "bytes" },
    ];
    return surroundings.flatMap((its, n) => {
      const call = own[n];
      if (isInOneOutage) return call === undefined ? [] : [{ ...its, weather: n === 0 ? OUTAGE : [], call }];
      const before = others.filter(({ at }) => at === n).map((other) => other.step);
      return call === undefined ? before : [...before, { ...its, call }];
    });
  });

const scene: fc.Arbitrary<Scene> = fc.oneof(
  { weight: 30, arbitrary: step.map((one) => [one]) },
  { weight: 1, arbitrary: overtaking },
  { weight: 1, arbitrary: draining },
  { weight: 2, arbitrary: uploading },
);

/** Always `CALLS` scenes when generated, fewer and fewer when shrunk: an array's own arbitrary does either, not both. */
class Scenes extends fc.Arbitrary<Scene[]> {
  readonly #whole = fc.array(scene, { minLength: CALLS, maxLength: CALLS });
  readonly #shorter = fc.array(scene, { minLength: 1, maxLength: CALLS });

  override generate(random: fc.Random, biasFactor: number | undefined): fc.Value<Scene[]> {
    return this.#whole.generate(random, biasFactor);
  }

  override canShrinkWithoutContext(value: unknown): value is Scene[] {
    return this.#shorter.canShrinkWithoutContext(value);
  }

  override shrink(value: Scene[], context: unknown): fc.Stream<fc.Value<Scene[]>> {
    return this.#shorter.shrink(value, context);
  }
}

export const programs: fc.Arbitrary<Program> = fc.record({
  leaseCapMs: fc.constantFrom(150, 400, 1_000),
  steps: new Scenes().map((scenes) => scenes.flat().slice(0, CALLS)),
});
