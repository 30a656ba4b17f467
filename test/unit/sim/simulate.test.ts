/** The simulation of `npm run simulate`, small: what it shows must hold. */
import { describe, expect, test } from "vitest";
import { NETWORK_MS, simulate } from "../../sim/model";
import { plot } from "../../sim/plot";

/** A second of a simulation costs more than one of ours on a busy machine. */
const TIMEOUT = { timeout: 120_000 };

describe.each([
  // Leases of 5 s in calm (1 s in an outage); stretched, to keep within the budget; at the cap of 30 s, beyond it.
  { isolates: 100, lease: [5_000, 5_000] },
  { isolates: 1_500, lease: [5_001, 29_999] },
  { isolates: 5_000, lease: [30_000, 30_000] },
])("$isolates isolates with calls of their own", TIMEOUT, ({ isolates, lease }) => {
  const outcome = simulate(isolates, 7);

  test("ask the object as often as designed: within the budget, and beyond the lease cap once per cap", () => {
    const [least = 0, most = 0] = lease;
    expect(outcome.leaseMs).toBeGreaterThanOrEqual(least);
    expect(outcome.leaseMs).toBeLessThanOrEqual(most);
    expect(outcome.designedPerS).toBe(Math.max(100, isolates / 30));
    expect(outcome.calmPerS).toBeLessThanOrEqual(outcome.designedPerS);
    expect(outcome.outagePerS).toBeLessThanOrEqual(outcome.designedPerS);
    // What a sample says at once comes on top, for a second.
    expect(outcome.peakPerS).toBeLessThanOrEqual(2 * outcome.designedPerS);
    // And it is no simulation of nothing: the isolates that are not idle report once a lease.
    expect(outcome.calmPerS).toBeGreaterThan((0.3 * isolates * 1_000) / outcome.leaseMs);
  });

  test("stop calling a dead R2: 99 % of the busy ones within 2 s, each other one with its first call past its lease", () => {
    expect(outcome.stoppedIn2s).toBeGreaterThanOrEqual(0.99);
    expect(outcome.busyStopMs).toBeLessThanOrEqual(2_000);
    // Calls within the time that its report is under way cannot know.
    expect(outcome.overrunMs).toBeLessThanOrEqual(2 * NETWORK_MS);
  });
});

test("the same seed gives the same outcome, and the world's randomness is put back", () => {
  const random = Math.random;
  expect(simulate(30, 3)).toEqual(simulate(30, 3));
  expect(Math.random).toBe(random);
});

test("the plot is one SVG, with a line for each figure", () => {
  const svg = plot([simulate(10), simulate(100)]);
  expect(svg.startsWith("<svg ")).toBe(true);
  expect(svg.match(/stroke-width="2"/g)).toHaveLength(5);
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
});
