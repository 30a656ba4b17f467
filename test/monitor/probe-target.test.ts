import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { probeTarget } from "../../durable-objects/service/probe-target";
import type { FailoverEnv } from "../../src/shared/env";
import type { ProbeTarget } from "../../src/shared/probes";

const kv = () => env.AUTH_KV as KVNamespace;
const URL = "http://payments.test/health";
const hang = () => new Promise<never>(() => undefined);
const bound = (value: unknown) => ({ ...env, X: value }) as FailoverEnv;

const probe = (target: ProbeTarget, from: FailoverEnv = env, timeoutMs = 2_000) =>
  probeTarget(from, target, 7, timeoutMs, Date.now);

describe("a probe of what is no bucket", () => {
  test.each<[string, ProbeTarget, FailoverEnv, string]>([
    ["D1 answers", { kind: "d1", binding: "D1_DATABASE", query: "SELECT 1" }, env, "success"],
    ["D1 knows no such table", { kind: "d1", binding: "D1_DATABASE", query: "SELECT 1 FROM none" }, env, "failure"],
    [
      "D1 rejects",
      { kind: "d1", binding: "X", query: "SELECT 1" },
      bound({ prepare: () => ({ first: () => Promise.reject(new Error("D1_ERROR")) }) }),
      "failure",
    ],
    ["KV answers that there is nothing", { kind: "kv", binding: "AUTH_KV" }, env, "success"],
    ["KV has lost the key that must be there", { kind: "kv", binding: "AUTH_KV", key: "none" }, env, "failure"],
    [
      "KV rejects",
      { kind: "kv", binding: "X" },
      bound({ get: () => Promise.reject(new Error("KV GET failed: 500")) }),
      "failure",
    ],
    ["a URL answers 200", { kind: "url", url: URL, method: "GET" }, env, "success"],
    [
      "a URL answers another status than it must",
      { kind: "url", url: URL, method: "HEAD", status: 204 },
      env,
      "failure",
    ],
    ["a handler does not know the method", { kind: "rpc", binding: "HANDLER", method: "none" }, env, "failure"],
    ["a handler answers", { kind: "rpc", binding: "HANDLER", method: "health" }, env, "success"],
    [
      "a handler answers false",
      { kind: "rpc", binding: "X", method: "health" },
      bound({ health: async () => false }),
      "failure",
    ],
  ])("%s", async (_, target, from, outcome) => {
    const { outcomes, steps, result, clockOffset } = await probe(target, from);
    // One step is the evidence for both classes.
    expect(outcomes).toEqual({ read: outcome, write: outcome });
    expect([steps.read.ok, steps.write.ok]).toEqual([outcome === "success", outcome === "success"]);
    expect([result, clockOffset]).toEqual([null, null]);
  });

  test("of KV reads another key each time, for a cache would answer for the same", async () => {
    const keys: string[] = [];
    const get = async (key: string) => {
      keys.push(key);
      return null;
    };
    for (const n of [1, 2]) await probeTarget(bound({ get }), { kind: "kv", binding: "X" }, n, 1_000, Date.now);
    expect(new Set(keys).size).toBe(2);
    await kv().put("there", "value");
    expect((await probe({ kind: "kv", binding: "AUTH_KV", key: "there" })).outcomes.read).toBe("success");
  });

  test.each<[string, ProbeTarget, unknown]>([
    ["D1", { kind: "d1", binding: "X", query: "SELECT 1" }, { prepare: () => ({ first: hang }) }],
    ["KV", { kind: "kv", binding: "X" }, { get: hang }],
    ["a handler", { kind: "rpc", binding: "X", method: "health" }, { health: hang }],
  ])("of %s that hangs ends at its deadline, as a failure", async (_, target, value) => {
    const { outcomes, steps } = await probe(target, bound(value), 20);
    expect(outcomes.read).toBe("failure");
    expect(steps.read.ms).toBeGreaterThanOrEqual(19);
  });
});
