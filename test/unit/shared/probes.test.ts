import { describe, expect, test } from "vitest";
import type { FailoverEnv } from "../../../src/shared/env";
import { boundServices, probeTargets } from "../../../src/shared/probes";

const environment = (probes: unknown, more: Record<string, unknown> = {}) =>
  ({
    R2_BUCKET: {},
    HEALTH_PROBES: typeof probes === "string" ? probes : JSON.stringify(probes),
    ...more,
  }) as FailoverEnv;

test("what is not bound is no service", () => {
  expect(boundServices(environment({}))).toEqual(["R2_STORAGE"]);
  expect(boundServices(environment(""))).toEqual(["R2_STORAGE"]);
});

test("D1_DATABASE and AUTH_KV are monitored as soon as they are bound", () => {
  expect(boundServices(environment({}, { D1_DATABASE: {}, AUTH_KV: {} }))).toEqual([
    "R2_STORAGE",
    "D1_DATABASE",
    "AUTH_KV",
  ]);
});

test("each kind has its defaults, and what is configured wins", () => {
  const probes = {
    D1_DATABASE: { kind: "d1", binding: "DB", query: "SELECT 2" },
    OTHER_DB: { kind: "d1", binding: "DB" },
    SESSIONS: { kind: "kv", binding: "KV" },
    SITE: { kind: "url", url: "https://example.com/health" },
    HANDLER: { kind: "rpc", binding: "W" },
  };
  const bound = { DB: {}, KV: {}, W: {}, D1_DATABASE: {} };
  expect(Object.fromEntries(probeTargets(environment(probes, bound)))).toEqual({
    D1_DATABASE: { kind: "d1", binding: "DB", query: "SELECT 2" },
    OTHER_DB: { kind: "d1", binding: "DB", query: "SELECT 1" },
    SESSIONS: { kind: "kv", binding: "KV" },
    SITE: { kind: "url", url: "https://example.com/health", method: "GET" },
    HANDLER: { kind: "rpc", binding: "W", method: "health" },
  });
});

describe("a mistake is named", () => {
  test.each<[string, unknown, RegExp]>([
    ["no JSON", "{", /not JSON/],
    ["no object", [1], /HEALTH_PROBES/],
    ["an unknown kind", { A: { kind: "ping" } }, /A\.kind/],
    ["a field too many", { A: { kind: "rpc", binding: "W", metod: "x" } }, /A: .*metod/],
    ["a URL that is none", { A: { kind: "url", url: "ftp://x" } }, /A\.url/],
    [
      "a binding that is missing",
      { A: { kind: "kv", binding: "NONE" } },
      /A needs the binding NONE \(kv\): add it to wrangler\.toml/,
    ],
    [
      "a bucket, which is probed already",
      { R2_STORAGE: { kind: "url", url: "https://x.test" } },
      /R2_STORAGE is a bucket/,
    ],
  ])("%s", (_, probes, message) => {
    expect(() => probeTargets(environment(probes))).toThrow(message);
  });
});
