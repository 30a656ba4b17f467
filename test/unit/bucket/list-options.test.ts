import { describe, expect, test } from "vitest";
import { listQuery } from "../../../src/bucket/list-options";

const query = (options: unknown) => listQuery(options as R2ListOptions);

test("without options it is everything, a thousand a page", () => {
  const everything = {
    prefix: "",
    delimiter: "",
    limit: 1_000,
    startAfter: "",
    cursor: null,
    include: { http: false, custom: false },
  };
  for (const none of [undefined, null, {}, [], { cursor: "" }]) expect(query(none)).toEqual(everything);
});

// What the binding makes of a value, and R2 of the outcome. `test/worker/bucket/list-options.test.ts` asks them.
describe("a limit", () => {
  test.each<[unknown, number]>([
    [1, 1],
    [1_000, 1_000],
    [undefined, 1_000],
    [-1, 1_000],
    [-1.5, 1_000],
    [1.5, 1],
    [1_000.9, 1_000],
    ["5", 5],
    [" 3 ", 3],
    ["0x10", 16],
    [true, 1],
    [[3], 3],
  ])("of %j is %i", (limit, expected) => {
    expect(query({ limit }).limit).toBe(expected);
  });

  test("is a hundred at most where metadata is included", () => {
    expect(query({ limit: 500, include: ["httpMetadata"] }).limit).toBe(100);
    expect(query({ include: ["customMetadata"] }).limit).toBe(100);
    expect(query({ limit: 99, include: ["customMetadata"] }).limit).toBe(99);
    expect(query({ limit: 500, include: [] }).limit).toBe(500);
  });
});

test("text that is not well-formed reaches R2 as UTF-8 can carry it", () => {
  expect(query({ prefix: "a\ud800", startAfter: "\udc00" })).toMatchObject({ prefix: "a\ufffd", startAfter: "\ufffd" });
});
