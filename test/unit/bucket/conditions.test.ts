import { describe, expect, test } from "vitest";
import { conditionHolds, isConditional, plainCondition } from "../../../src/bucket/conditions";

const NOON = Date.UTC(2026, 0, 1, 12, 0, 0, 500);
const object = { etag: "aaa", uploaded: NOON };
const at = (ms: number) => new Date(NOON + ms);

describe("a condition as options", () => {
  test.each<{ rule: string; onlyIf: R2Conditional; holds: boolean; holdsWithoutObject: boolean }>([
    { rule: "nothing asked", onlyIf: {}, holds: true, holdsWithoutObject: true },
    { rule: "the etag matches", onlyIf: { etagMatches: "aaa" }, holds: true, holdsWithoutObject: false },
    { rule: "the etag does not match", onlyIf: { etagMatches: "bbb" }, holds: false, holdsWithoutObject: false },
    { rule: "any etag", onlyIf: { etagMatches: "*" }, holds: true, holdsWithoutObject: false },
    { rule: "not this etag", onlyIf: { etagDoesNotMatch: "aaa" }, holds: false, holdsWithoutObject: true },
    { rule: "not another etag", onlyIf: { etagDoesNotMatch: "bbb" }, holds: true, holdsWithoutObject: true },
    { rule: "not any etag: create only", onlyIf: { etagDoesNotMatch: "*" }, holds: false, holdsWithoutObject: true },
    { rule: "uploaded before", onlyIf: { uploadedBefore: at(1) }, holds: true, holdsWithoutObject: true },
    { rule: "not uploaded strictly before", onlyIf: { uploadedBefore: at(0) }, holds: false, holdsWithoutObject: true },
    { rule: "uploaded after", onlyIf: { uploadedAfter: at(-1) }, holds: true, holdsWithoutObject: false },
    { rule: "not uploaded strictly after", onlyIf: { uploadedAfter: at(0) }, holds: false, holdsWithoutObject: false },
    {
      rule: "a matching etag takes the place of uploadedBefore",
      onlyIf: { etagMatches: "aaa", uploadedBefore: at(-5_000) },
      holds: true,
      holdsWithoutObject: false,
    },
    {
      rule: "a date cannot save an etag that does not match",
      onlyIf: { etagMatches: "bbb", uploadedBefore: at(5_000) },
      holds: false,
      holdsWithoutObject: false,
    },
    {
      rule: "another etag takes the place of uploadedAfter",
      onlyIf: { etagDoesNotMatch: "bbb", uploadedAfter: at(5_000) },
      holds: true,
      holdsWithoutObject: false,
    },
    {
      rule: "both etag conditions must hold",
      onlyIf: { etagMatches: "aaa", etagDoesNotMatch: "*" },
      holds: false,
      holdsWithoutObject: false,
    },
    {
      rule: "in whole seconds, the same second is not before",
      onlyIf: { uploadedBefore: at(400), secondsGranularity: true },
      holds: false,
      holdsWithoutObject: true,
    },
    {
      rule: "in whole seconds, the same second is not after",
      onlyIf: { uploadedAfter: at(-400), secondsGranularity: true },
      holds: false,
      holdsWithoutObject: false,
    },
    {
      rule: "in whole seconds, the next second is after",
      onlyIf: { uploadedAfter: at(-600), secondsGranularity: true },
      holds: true,
      holdsWithoutObject: false,
    },
  ])("$rule", ({ onlyIf, holds, holdsWithoutObject }) => {
    const condition = plainCondition("put", onlyIf);
    expect(conditionHolds(condition, object)).toBe(holds);
    expect(conditionHolds(condition, null)).toBe(holdsWithoutObject);
  });

  test("an etag in quotes is refused in R2's words", () => {
    expect(() => plainCondition("put", { etagMatches: '"aaa"' })).toThrow(
      new TypeError('Conditional ETag should not be wrapped in quotes ("aaa").'),
    );
  });
});

describe("a condition as headers", () => {
  test.each<{ rule: string; headers: Record<string, string>; holds: boolean }>([
    { rule: "one quoted etag", headers: { "if-match": '"aaa"' }, holds: true },
    { rule: "one of a list", headers: { "if-match": '"bbb" , "aaa"' }, holds: true },
    { rule: "empty members of a list", headers: { "if-match": ', "aaa",, ' }, holds: true },
    { rule: "a comma within an etag", headers: { "if-none-match": '"aaa,b"' }, holds: true },
    { rule: "If-Match compares strongly: a weak etag never matches", headers: { "if-match": 'W/"aaa"' }, holds: false },
    { rule: "If-None-Match compares weakly", headers: { "if-none-match": 'W/"aaa"' }, holds: false },
    { rule: "a wildcard among etags", headers: { "if-none-match": '"bbb", *' }, holds: false },
    {
      rule: "dates count in whole seconds",
      headers: { "if-modified-since": new Date(NOON).toUTCString() },
      holds: false,
    },
    { rule: "not modified since then", headers: { "if-unmodified-since": at(1_000).toUTCString() }, holds: true },
    { rule: "a date that cannot be read is the epoch", headers: { "if-modified-since": "yesterday" }, holds: true },
    { rule: "also for the other header", headers: { "if-unmodified-since": "tomorrow" }, holds: false },
    { rule: "what follows the last etag is not looked at", headers: { "if-match": '"aaa"; "bbb"' }, holds: true },
    { rule: "a quoted wildcard is an etag like others", headers: { "if-none-match": '"*"' }, holds: true },
    { rule: "headers that ask nothing", headers: { "content-type": "text/plain" }, holds: true },
  ])("$rule", ({ headers, holds }) => {
    expect(conditionHolds(plainCondition("put", new Headers(headers)), object)).toBe(holds);
  });

  test.each<{ etags: string; error: string }>([
    { etags: "", error: "Invalid ETag in if-match header" },
    { etags: " , ,", error: "Invalid ETag in if-match header" },
    { etags: "aaa", error: "Invalid ETag in if-match header" },
    { etags: 'w/"aaa"', error: "Invalid ETag in if-match header" },
    { etags: 'W/ "aaa"', error: "Weak etags must start with W/ and their value must be quoted" },
    { etags: '"aaa" "bbb"', error: "Comma was expected to separate etags. Encountered a double quote" },
    { etags: '"aaa" *', error: "Comma was expected to separate etags. Encountered a wildcard" },
    { etags: '"aaa"W/"bbb"', error: "Comma was expected to separate etags. Encountered a weak quotation" },
  ])("an etag written as $etags is refused", ({ etags, error }) => {
    expect(() => plainCondition("put", new Headers({ "if-match": etags }))).toThrow(error);
  });

  test.each(['"aaa', '"aaa", W/"bbb'])("an etag that does not end, in %s, is refused", (etags) => {
    expect(() => plainCondition("put", new Headers({ "if-none-match": etags }))).toThrow(
      "Unclosed double quote for Etag",
    );
  });
});

test("without a precondition a put is an ordinary one", () => {
  expect(isConditional(plainCondition("put", {}))).toBe(false);
  expect(isConditional(plainCondition("put", { secondsGranularity: true }))).toBe(false);
  expect(isConditional(plainCondition("put", new Headers({ "content-type": "text/plain" })))).toBe(false);
  expect(isConditional(plainCondition("put", new Headers({ "if-none-match": "*" })))).toBe(true);
  expect(isConditional(plainCondition("put", { uploadedBefore: new Date(0) }))).toBe(true);
});
