import { describe, expect, test } from "vitest";
import { deriveStatus, worseState } from "../../../durable-objects/service/status";
import type { CircuitState } from "../../../src/shared/protocol";

describe("the status of a service", () => {
  test.each<[CircuitState, CircuitState, boolean, number, string]>([
    ["CLOSED", "CLOSED", false, 0, "HEALTHY"],
    ["CLOSED", "CLOSED", false, 3, "RECOVERING"],
    ["CLOSED", "CLOSED", true, 3, "DEGRADED"],
    ["CLOSED", "OPEN", false, 3, "DEGRADED"],
    ["HALF_OPEN", "CLOSED", false, 0, "DEGRADED"],
    ["CLOSED", "FORCED_OPEN", false, 0, "DEGRADED"],
    ["OPEN", "OPEN", false, 0, "OFFLINE"],
    ["OPEN", "HALF_OPEN", true, 3, "OFFLINE"],
    ["FORCED_OPEN", "FORCED_OPEN", false, 0, "OFFLINE"],
    ["METRICS_ONLY", "METRICS_ONLY", false, 0, "HEALTHY"],
    ["FORCED_CLOSED", "CLOSED", false, 1, "RECOVERING"],
  ])("read %s, write %s, read-only %s, %i pending → %s", (read, write, readOnly, pending, status) => {
    expect(deriveStatus({ read, write, readOnly, pending })).toBe(status);
  });
});

test("the worse of two states stands for both", () => {
  const fromWorst: CircuitState[] = ["FORCED_OPEN", "OPEN", "HALF_OPEN", "METRICS_ONLY", "FORCED_CLOSED", "CLOSED"];
  for (const [i, worse] of fromWorst.entries()) {
    for (const other of fromWorst.slice(i)) {
      expect(worseState(worse, other)).toBe(worse);
      expect(worseState(other, worse)).toBe(worse);
    }
  }
});
