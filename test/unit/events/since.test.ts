import { describe, expect, test } from "vitest";
import { canResume, formatSince, parseSince } from "../../../src/shared/since";

const EPOCH = "0b0d6a1e-7f6a-4c39-9a55-1f2d3c4b5a69";

test("a place is read as it was written", () => {
  const since = { epoch: EPOCH, seq: 9_007 };
  expect(parseSince(formatSince(since))).toEqual(since);
});

test.each([
  "",
  ".",
  "5",
  `${EPOCH}.`,
  `.5`,
  `${EPOCH}.-1`,
  `${EPOCH}.1.5`,
  `${EPOCH}.1e9`,
  `${EPOCH}.٣`,
  `${EPOCH}.1234567890123456`,
  `${"e".repeat(65)}.1`,
  `${EPOCH}.1\n`,
  `a b.1`,
  `'; DROP TABLE system_events; --.1`,
  "9".repeat(1_000_000),
])("%j is no place", (text) => {
  expect(parseSince(text)).toBeNull();
});

describe("a sequence that holds 5 to 9", () => {
  const held = { epoch: EPOCH, oldest: 5, head: 9 };
  test.each([
    [3, false],
    [4, true],
    [5, true],
    [9, true],
    [10, false],
    [999_999_999_999_999, false],
  ])("after %i: resumes %s", (seq, expected) => {
    expect(canResume({ epoch: EPOCH, seq }, held)).toBe(expected);
  });
  test("is not that of another epoch", () => expect(canResume({ epoch: "other", seq: 6 }, held)).toBe(false));
});

test("an empty sequence is resumed at its beginning only", () => {
  const held = { epoch: EPOCH, oldest: 1, head: 0 };
  expect(canResume({ epoch: EPOCH, seq: 0 }, held)).toBe(true);
  expect(canResume({ epoch: EPOCH, seq: 1 }, held)).toBe(false);
});
