import { expect, test } from "vitest";
import { circuitSettings } from "../../../src/circuit/settings";
import { DEFAULT_CONFIG } from "../../../src/shared/config";

const config = DEFAULT_CONFIG.service;

test("a service-wide circuit of the default config", () => {
  expect(circuitSettings(config, "service")).toEqual({
    threshold: 5,
    failureRateThreshold: 50,
    minimumCalls: 20,
    windowMs: 10_000,
    baseOpenMs: 1_000,
    maxOpenMs: 60_000,
    stableMs: 60_000,
    trialSuccesses: 2,
    trialMs: 10_000,
    rampMs: 10_000,
    rampFrom: 0.1,
    trials: "probes",
    halfOpenRatio: 0.1,
    opens: "when_confirmed",
  });
});

test.each([
  { role: "isolate", trials: undefined, expected: { trials: "ratio", opens: "itself" } },
  { role: "service", trials: "ratio", expected: { trials: "ratio", opens: "when_confirmed" } },
] as const)("$role with trials $trials", ({ role, trials, expected }) => {
  expect(circuitSettings(config, role, trials)).toMatchObject(expected);
});

test("a short circuit_breaker_timeout shortens the first open time, the ramp and the stable period", () => {
  expect(circuitSettings({ ...config, circuit_breaker_timeout: 100 }, "service")).toMatchObject({
    baseOpenMs: 100,
    maxOpenMs: 100,
    rampMs: 100,
    stableMs: 100,
  });
});
