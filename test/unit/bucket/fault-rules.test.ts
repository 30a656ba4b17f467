import { describe, expect, test } from "vitest";
import { faultEffect, firingRule } from "../../../src/bucket/fault-rules";
import { faultProblem, parseFaults } from "../../../src/bucket/fault-schema";
import { BUCKET_METHODS, type BucketMethod, type FaultRule } from "../../../src/shared/protocol";

const NOW = Date.parse("2026-01-31T12:00:00Z");
const always = () => 0;

describe("bad rules get a sentence that says what is allowed", () => {
  test.each<[string, unknown, RegExp]>([
    ["no list", "all", /must be a list of at most 32 rules/],
    ["too many", Array.from({ length: 33 }, () => ({ operations: "all" })), /at most 32/],
    ["no object", ["put"], /faults\[0\] must be an object with operations/],
    ["no operations", [{}], /faults\[0\]\.operations must be "read", "write", "all", or a list out of put, get/],
    ["an unknown class", [{ operations: "writes" }], /faults\[0\]\.operations must be/],
    ["an unknown method", [{ operations: ["putt"] }], /faults\[0\]\.operations must be/],
    ["no methods", [{ operations: [] }], /faults\[0\]\.operations must be/],
    ["a percentage", [{ operations: "all", error_rate: 50 }], /faults\[0\]\.error_rate must be a number from 0 to 1/],
    ["a code as text", [{ operations: "all", error_code: "10001" }], /faults\[0\]\.error_code must be R2's code/],
    ["a negative latency", [{ operations: "all", latency_ms: -1 }], /latency_ms must be a number of milliseconds/],
    ["a hang in words", [{ operations: "all", hang: "yes" }], /faults\[0\]\.hang must be true or false/],
    ["a time that is none", [{ operations: "all", expires_at: "soon" }], /expires_at must be an ISO 8601 time/],
    ["an unknown field", [{ operations: "all", rate: 1 }], /faults\[0\] must be an object with operations, and out of/],
    ["the second one", [{ operations: "all" }, { operations: 1 }], /^faults\[1\]/],
    ["two modes", [{ operations: "all", hang: true, lose_reply: true }], /one of hang, lose_reply, land_late/],
    ["late without a delay", [{ operations: "all", land_late: true }], /land_late needs latency_ms/],
  ])("%s", (_, rules, sentence) => {
    expect(faultProblem(rules)).toMatch(sentence);
  });
});

test("good rules have no problem, and come back as they were", () => {
  const rules = [
    { operations: "all" },
    { operations: ["put", "uploadPart"], error_rate: 0.5, error_code: 10043, latency_ms: 20 },
    { operations: "read", truncate_body: true, expires_at: "2026-01-31T13:00:00+01:00" },
    { operations: "write", land_late: true, latency_ms: 500 },
  ];
  expect(faultProblem(rules)).toBeNull();
  expect(parseFaults(rules)).toStrictEqual(rules);
});

describe("which methods a rule names", () => {
  const named = (operations: FaultRule["operations"]) =>
    BUCKET_METHODS.filter((method) => firingRule([{ operations }], method, "any", NOW, always) !== null);
  test.each<[FaultRule["operations"], readonly BucketMethod[]]>([
    ["all", BUCKET_METHODS],
    ["read", ["get", "head", "list"]],
    ["write", ["put", "delete", "createMultipartUpload", "uploadPart", "complete", "abort"]],
    [
      ["head", "complete"],
      ["head", "complete"],
    ],
  ])("%j", (operations, methods) => {
    expect(named(operations)).toEqual(methods);
  });
});

describe("which rule meets a call", () => {
  const put = (rules: readonly FaultRule[], random = 0.5) => firingRule(rules, "put", "any", NOW, () => random);
  const half: FaultRule = { operations: "all", error_rate: 0.5 };
  const whole: FaultRule = { operations: "write", error_code: 10043 };

  test("with its probability", () => {
    expect(put([half], 0.49)).toBe(half);
    expect(put([half], 0.5)).toBeNull();
    expect(put([{ ...half, error_rate: 0 }], 0)).toBeNull();
  });
  test("the first that fires", () => {
    expect(put([half, whole], 0.4)).toBe(half);
    expect(put([half, whole], 0.9)).toBe(whole);
  });
  test("never an expired one", () => {
    expect(put([{ ...whole, expires_at: "2026-01-31T12:00:00Z" }])).toBeNull();
    expect(put([{ ...whole, expires_at: "2026-01-31T12:00:00.001Z" }])).not.toBeNull();
  });
});

describe("what a rule does, after its latency", () => {
  test.each<[FaultRule, ReturnType<typeof faultEffect>]>([
    [{ operations: "all" }, { kind: "error", code: 10001 }],
    [
      { operations: "all", error_code: 0 },
      { kind: "error", code: 0 },
    ],
    [{ operations: "all", latency_ms: 5 }, { kind: "delay" }],
    [
      { operations: "all", latency_ms: 5, error_rate: 0.5 },
      { kind: "error", code: 10001 },
    ],
    [
      { operations: "all", latency_ms: 5, error_code: 10043 },
      { kind: "error", code: 10043 },
    ],
    [{ operations: "all", latency_ms: 5, hang: true }, { kind: "hang" }],
    [{ operations: "all", lose_reply: true, error_rate: 0.5 }, { kind: "lose_reply" }],
    [{ operations: "all", land_late: true, latency_ms: 5 }, { kind: "land_late" }],
    [{ operations: "all", truncate_body: true, hang: false }, { kind: "truncate_body" }],
  ])("%j → %j", (rule, effect) => {
    expect(faultEffect(rule)).toEqual(effect);
  });
});

test("a rule with a key prefix meets only calls on such keys", () => {
  const rules: FaultRule[] = [{ operations: "all", key_prefix: "poison/" }];
  const fires = (keys: string | string[]) => firingRule(rules, "delete", keys, NOW, () => 0) !== null;
  expect(["poison/1", "poison/", "poison", "healthy/poison/1"].map(fires)).toEqual([true, true, false, false]);
  expect([fires(["healthy", "poison/1"]), fires(["healthy"]), fires([])]).toEqual([true, false, false]);
});
