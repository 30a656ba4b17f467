import { describe, expect, test } from "vitest";
import { areAllInR2, judgeParts } from "../../../durable-objects/queue/part-list";
import type { PartRow } from "../../../durable-objects/queue/upload-store";

const MIB = 1024 * 1024;

/** Part `number` of so many bytes, in the queue. */
const part = (number: number, size: number, changes: Partial<PartRow> = {}): PartRow => ({
  upload_id: "u",
  part_number: number,
  etag: `etag-${number}`,
  size,
  md5: `md5-${number}`,
  payload_id: `payload-${number}`,
  key_id: null,
  r2_etag: null,
  ...changes,
});
const inR2 = (number: number, size: number, changes: Partial<PartRow> = {}): PartRow =>
  part(number, size, { payload_id: null, r2_etag: `etag-${number}`, ...changes });
const named = (...numbers: number[]) => numbers.map((number) => ({ partNumber: number, etag: `etag-${number}` }));

describe("the parts of a completion", () => {
  const recorded = [part(1, 5 * MIB), part(2, 5 * MIB), part(3, 7), part(4, 6 * MIB), inR2(5, 5 * MIB)];

  test.each([
    { rule: "in order", parts: named(1, 2, 3), whole: [1, 2, 3] },
    { rule: "in the order of their numbers, however they are named", parts: named(2, 1), whole: [1, 2] },
    { rule: "with gaps between their numbers", parts: named(1, 5), whole: [1, 5] },
    { rule: "wherever they are", parts: named(5, 1), whole: [1, 5] },
    { rule: "one, however small", parts: named(3), whole: [3] },
    { rule: "none", parts: [], whole: [] },
  ])("are whole: $rule", ({ parts, whole }) => {
    const verdict = judgeParts(parts, recorded, false);
    expect(verdict).toMatchObject({ kind: "whole", parts: whole.map((part_number) => ({ part_number })) });
  });

  test.each([
    { rule: "one that was never uploaded", parts: named(1, 9), code: 10025 },
    { rule: "another etag", parts: [{ partNumber: 1, etag: "etag-2" }], code: 10025 },
    { rule: "a small one named before the last", parts: named(3, 1), code: 10011 },
    { rule: "a small one that comes before the last by its number", parts: named(4, 3), code: 10048 },
    { rule: "unequal ones", parts: named(1, 4, 5), code: 10048 },
    { rule: "a last one that is larger than the others", parts: named(1, 4), code: 10048 },
    { rule: "a wrong etag before a wrong size", parts: [...named(3, 1), ...named(9)], code: 10025 },
  ])("are refused as R2 refuses them: $rule", ({ parts, code }) => {
    expect(judgeParts(parts, recorded, true)).toMatchObject({ kind: "refused", refusal: { r2Code: code } });
  });

  test.each([
    { rule: "one that nobody has told of", rows: [], missing: [1] },
    { rule: "one without its MD5", rows: [inR2(1, 5, { md5: null })], missing: [1] },
    { rule: "one without its size", rows: [inR2(1, 5, { size: null })], missing: [1] },
  ])("are not known well enough: $rule", ({ rows, missing }) => {
    expect(judgeParts(named(1), rows, false)).toEqual({ kind: "unrecorded", partNumbers: missing });
  });

  test("with another etag than the one that is recorded are refused, whatever else is not known", () => {
    const verdict = judgeParts([...named(9), { partNumber: 1, etag: "stale" }], recorded, false);
    expect(verdict).toMatchObject({ kind: "refused", refusal: { r2Code: 10025 } });
  });
});

test.each([
  { rule: "all of them are recorded there", parts: named(5), all: true },
  { rule: "nobody knows of them", parts: named(8, 9), all: true },
  { rule: "one lies in the queue", parts: named(5, 1), all: false },
  { rule: "one lies in the queue, under another etag", parts: [{ partNumber: 1, etag: "stale" }], all: false },
  { rule: "none is named", parts: [], all: true },
])("R2 alone decides ($all) when $rule", ({ parts, all }) => {
  expect(areAllInR2(parts, [part(1, 5 * MIB), inR2(5, 5 * MIB)])).toBe(all);
});
