import { describe, expect, test } from "vitest";
import { isShardReporter, Leases } from "../../../durable-objects/service/leases";
import { leaseMs } from "../../../src/circuit/snapshot";
import { DEFAULT_CONFIG } from "../../../src/shared/config";
import type { CircuitView } from "../../../src/shared/protocol";

const CONFIG = DEFAULT_CONFIG.service;
const closed: CircuitView = { state: "CLOSED", generation: 1, openUntil: null, ramp: null };
const open: CircuitView = { state: "OPEN", generation: 2, openUntil: 9, ramp: null };
const CLOSED = { read: closed, write: closed };

describe("how long a snapshot is trusted", () => {
  test("is until the cap after the last one, whatever its lease", () => {
    const leases = new Leases(500);
    expect(leases.trustedUntil).toBe(500);
    leases.handedOut(1_000, 50, 30_000);
    leases.handedOut(1_001, 50, 100);
    expect(leases.trustedUntil).toBe(31_000);
  });
});

describe("what a reporter was told last", () => {
  test("is the generation of each circuit, and whether it let nothing through", () => {
    const leases = new Leases(0);
    expect(leases.toldTo("a")).toBeNull();
    leases.tell("a", CLOSED, 0);
    leases.tell("a", { read: closed, write: open }, 1);
    expect(leases.toldTo("a")).toEqual({
      read: { generation: 1, isRejecting: false },
      write: { generation: 2, isRejecting: true },
    });
  });
});

describe("active isolates", () => {
  test("are those who reported within two leases; shards are none", () => {
    const leases = new Leases(0);
    leases.handedOut(0, 20_000, 30_000);
    leases.tell("a", CLOSED, 0);
    leases.tell("b", CLOSED, 30_000);
    leases.tell("b", CLOSED, 30_001);
    leases.tell("shard:1", CLOSED, 30_000);
    expect(isShardReporter("shard:1")).toBe(true);
    expect(leases.activeIsolates(40_000)).toBe(2);
    expect(leases.activeIsolates(41_000)).toBe(1);
    expect(leases.toldTo("a")).toBeNull();
  });

  test.each([
    [100, 5_000],
    [1_000, 10_000],
    [2_500, 25_000],
    [9_000, 30_000],
  ])("%i isolates that report at each lease's end settle at a lease of %i ms", (isolates, settled) => {
    const leases = new Leases(0);
    const due = Array.from({ length: isolates }, (_, i) => (i * 5_000) / isolates);
    let lease = 0;
    for (let now = 0; now < 200_000; now += 100) {
      for (const [i, at] of due.entries()) {
        if (at > now) continue;
        leases.tell(`isolate-${i}`, CLOSED, now);
        lease = leaseMs(leases.activeIsolates(now), false, CONFIG);
        leases.handedOut(now, lease, CONFIG.lease_cap_ms);
        due[i] = now + lease;
      }
    }
    expect(lease).toBe(settled);
  });
});
