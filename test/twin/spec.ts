/** Random calls of R2's binding on a few keys, in words that mean the same to both buckets. */
import fc from "fast-check";
import { CHECKSUM_ALGORITHMS, type ChecksumAlgorithm } from "../../src/shared/protocol";
import { BODIES, type BodyKind } from "../worker/model/program";

/** Few, so that they meet; ordered otherwise by UTF-8 than by UTF-16, and some below a delimiter. */
export const KEYS = ["a", "dir/b", "dir/sub/c", "dir/～", "dir/😀", "z"] as const;

/** An etag, as far as a program can know it. */
export type Tag = "current" | "earlier" | "unknown" | "any";

/** `onlyIf`. Dates lie far from every write: which of two near ones is later is not the same in both buckets. */
export interface ConditionSpec {
  readonly form: "object" | "headers";
  /** The object form has room for the first one only. */
  readonly matches: readonly Tag[];
  readonly differs: readonly Tag[];
  readonly before: "past" | "future" | null;
  readonly after: "past" | "future" | null;
  readonly seconds: boolean;
}

export interface PutSpec {
  readonly http: "none" | "object" | "headers" | "all";
  readonly custom: "id" | "none" | "unicode" | "too_large";
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly form: "hex" | "bytes" | "wrong" } | null;
  readonly storageClass: "Standard" | "InfrequentAccess" | null;
}

export type UploadSpec = Pick<PutSpec, "http" | "custom" | "storageClass">;

export const PARTS = ["text", "buffer", "view", "blob", "stream", "sized", "none", "full", "fuller"] as const;
/** `full` is as large as all parts but the last must be, `fuller` is a little larger, the others are small. */
export type PartKind = (typeof PARTS)[number];

/** A part of a completion: as it was taken last, as it was before, or as nobody ever called it. */
export interface NamedPartSpec {
  readonly number: number;
  readonly which: "last" | "earlier" | "unknown";
}

export interface RangeSpec {
  readonly form: "object" | "headers";
  readonly offset: number | null;
  readonly length: number | null;
  readonly suffix: number | null;
}

export const INCLUDES = [null, [], ["httpMetadata"], ["customMetadata"], ["httpMetadata", "customMetadata"]] as const;

export interface ListSpec {
  /** Below the service's own prefix, as all keys. */
  readonly prefix: string;
  readonly delimiter: string | null;
  readonly limit: number | null;
  readonly startAfter: string | null;
  readonly include: (typeof INCLUDES)[number];
}

export const BODY_READERS = ["bytes", "text", "arrayBuffer", "blob", "body"] as const;

export type Call =
  | {
      readonly do: "put";
      readonly key: number;
      readonly body: BodyKind;
      readonly options: PutSpec;
      readonly condition: ConditionSpec | null;
    }
  | {
      readonly do: "get";
      readonly key: number;
      readonly range: RangeSpec | null;
      readonly condition: ConditionSpec | null;
      readonly reads: (typeof BODY_READERS)[number];
    }
  | { readonly do: "head"; readonly key: number }
  | { readonly do: "delete"; readonly keys: readonly number[]; readonly isList: boolean }
  /** Multipart uploads: one at a time in each slot. */
  | { readonly do: "begin"; readonly slot: number; readonly key: number; readonly options: UploadSpec }
  | { readonly do: "part"; readonly slot: number; readonly number: number; readonly body: PartKind }
  | { readonly do: "complete"; readonly slot: number; readonly parts: readonly NamedPartSpec[] }
  | { readonly do: "abort"; readonly slot: number }
  /** `goesOn`: with the cursor of the list before, if it gave one. */
  | { readonly do: "list"; readonly list: ListSpec; readonly goesOn: boolean };

/** Two keys get most of the writes. */
const key = fc.oneof({ weight: 2, arbitrary: fc.nat(1) }, { weight: 1, arbitrary: fc.nat(KEYS.length - 1) });
const tag: fc.Arbitrary<Tag> = fc.constantFrom("current", "earlier", "unknown", "any");
const date = fc.constantFrom("past", "future");
const nothing = fc.constant(null);

function rarely<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.oneof({ weight: 5, arbitrary: nothing }, { weight: 1, arbitrary });
}

function sometimes<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.oneof({ weight: 2, arbitrary: nothing }, { weight: 1, arbitrary });
}

const tags = fc.oneof(
  { weight: 1, arbitrary: fc.constant<Tag[]>([]) },
  { weight: 2, arbitrary: fc.array(tag, { minLength: 1, maxLength: 2 }) },
);

const condition: fc.Arbitrary<ConditionSpec> = fc.record({
  form: fc.constantFrom("object", "headers"),
  matches: tags,
  differs: tags,
  before: rarely(date),
  after: rarely(date),
  seconds: fc.boolean(),
});

/** Most conditions name one thing only. */
const plain: fc.Arbitrary<ConditionSpec> = fc
  .record({ form: fc.constantFrom("object", "headers"), name: fc.constantFrom("matches", "differs"), tag })
  .map((one) => ({
    form: one.form,
    matches: one.name === "matches" ? [one.tag] : [],
    differs: one.name === "differs" ? [one.tag] : [],
    before: null,
    after: null,
    seconds: false,
  }));

const onlyIf = fc.oneof({ weight: 3, arbitrary: plain }, { weight: 1, arbitrary: condition });

const metadata = {
  http: fc.constantFrom("none", "object", "headers", "all"),
  custom: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom("id", "none", "unicode") },
    { weight: 1, arbitrary: fc.constant("too_large") },
  ),
  storageClass: rarely(fc.constantFrom("Standard", "InfrequentAccess")),
} as const;

const putSpec: fc.Arbitrary<PutSpec> = fc.record({
  ...metadata,
  checksum: rarely(
    fc.record({
      algorithm: fc.constantFrom(...CHECKSUM_ALGORITHMS),
      form: fc.constantFrom("hex", "bytes", "hex", "bytes", "wrong"),
    }),
  ),
});

/** Of what the large bodies cost, a few are enough. */
const body: fc.Arbitrary<BodyKind> = fc.oneof(
  { weight: 48, arbitrary: fc.constantFrom(...BODIES.filter((kind) => kind !== "large")) },
  { weight: 1, arbitrary: fc.constant("large") },
);

const amount = fc.constantFrom(0, 1, 3, 12, 5_000_000);
const range: fc.Arbitrary<RangeSpec> = fc.oneof(
  fc.record({
    form: fc.constantFrom("object", "headers"),
    offset: fc.oneof(nothing, amount),
    length: fc.oneof(nothing, amount),
    suffix: nothing,
  }),
  fc.record({ form: fc.constantFrom("object", "headers"), offset: nothing, length: nothing, suffix: amount }),
);

const list: fc.Arbitrary<ListSpec> = fc.record({
  prefix: fc.oneof(
    { weight: 3, arbitrary: fc.constant("") },
    { weight: 2, arbitrary: fc.constantFrom("d", "dir/", "q") },
  ),
  delimiter: fc.constantFrom(null, "/", "r/"),
  limit: fc.oneof(
    { weight: 3, arbitrary: nothing },
    { weight: 6, arbitrary: fc.constantFrom(1, 2, 3) },
    { weight: 1, arbitrary: fc.constantFrom(0, -1, 1_000, 1_001) },
  ),
  startAfter: rarely(fc.constantFrom(...KEYS, "dir/", "c")),
  include: fc.constantFrom(...INCLUDES),
});

export const puts: fc.Arbitrary<Extract<Call, { do: "put" }>> = fc.record({
  do: fc.constant("put"),
  key,
  body,
  options: putSpec,
  condition: sometimes(onlyIf),
});

const SLOTS = 2;
const MOST_PARTS = 3;

const slot = fc.nat(SLOTS - 1);
/** No empty ones: of an empty object that was uploaded in parts, local R2 takes ranges that it refuses of any other. */
const small = fc.constantFrom(...PARTS.filter((kind) => !["full", "fuller", "none"].includes(kind)));
const number = fc.integer({ min: 1, max: MOST_PARTS });

export const begins: fc.Arbitrary<Extract<Call, { do: "begin" }>> = fc.record({
  do: fc.constant("begin"),
  slot,
  key,
  options: fc.record(metadata),
});

/**
 * Whatever parts there are, in any order. Not none, since local R2 cannot read an object that is made of no parts; and none
 * twice, which is refused before anybody looks whether the upload is there.
 */
const anyParts: fc.Arbitrary<NamedPartSpec[]> = fc.uniqueArray(
  fc.record({ number, which: fc.constantFrom("last", "last", "last", "earlier", "unknown") }),
  { minLength: 1, maxLength: MOST_PARTS, selector: (part) => part.number },
);

const parts: fc.Arbitrary<Extract<Call, { do: "part" }>> = fc.record({
  do: fc.constant("part"),
  slot,
  number,
  body: small,
});

const completions: fc.Arbitrary<Extract<Call, { do: "complete" }>> = fc.record({
  do: fc.constant("complete"),
  slot,
  parts: anyParts,
});

const aborts: fc.Arbitrary<Extract<Call, { do: "abort" }>> = fc.record({ do: fc.constant("abort"), slot });

/** What is sent and completed of one upload, in the order in which it is said here. */
export interface UploadShape {
  readonly sent: readonly { readonly number: number; readonly body: PartKind }[];
  readonly completed: readonly NamedPartSpec[];
}

const last = (...numbers: number[]): NamedPartSpec[] => numbers.map((one) => ({ number: one, which: "last" }));

/** Of what the large parts cost, a few are enough. */
export const uploadShapes: fc.Arbitrary<UploadShape> = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({ number, sent: fc.array(small, { minLength: 1, maxLength: 2 }) }).map((one) => ({
      sent: one.sent.map((kind) => ({ number: one.number, body: kind })),
      completed: last(one.number),
    })),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      sent: fc.array(fc.record({ number, body: small }), { minLength: 1, maxLength: 3 }),
      completed: anyParts,
    }),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({
        ending: fc.oneof({ weight: 6, arbitrary: small }, { weight: 1, arbitrary: fc.constant("none" as const) }),
        isInOrder: fc.boolean(),
        again: fc.boolean(),
      })
      .map(({ ending, isInOrder, again }) => {
        const full = { number: 1, body: "full" } as const;
        const end = { number: 3, body: ending };
        const sent = isInOrder ? [full, end] : [end, full];
        return { sent: again ? [...sent, end] : sent, completed: last(1, 3) };
      }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<UploadShape>(
      {
        sent: [
          { number: 2, body: "fuller" },
          { number: 1, body: "full" },
        ],
        completed: last(1, 2),
      },
      { sent: [{ number: 1, body: "full" }], completed: last(1) },
    ),
  },
);

export const calls: fc.Arbitrary<Call> = fc.oneof(
  { weight: 10, arbitrary: puts },
  {
    weight: 7,
    arbitrary: fc.record({
      do: fc.constant("get"),
      key,
      range: sometimes(range),
      condition: sometimes(onlyIf),
      reads: fc.constantFrom(...BODY_READERS),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("head"), key }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("delete"),
      keys: fc.oneof(
        key.map((one) => [one]),
        fc.uniqueArray(key, { minLength: 1, maxLength: 3 }),
      ),
      isList: fc.boolean(),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("list"), list, goesOn: fc.boolean() }) },
  { weight: 1, arbitrary: fc.oneof(begins, parts, completions, aborts) },
);
