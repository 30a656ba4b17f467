import { describe, expect, test } from "vitest";
import {
  acknowledged,
  createFlow,
  type Flow,
  heard,
  isTooFarBehind,
  sent,
} from "../../../durable-objects/shared/live/flow";

const MIB = 1024 * 1024;

function after(acks: boolean, steps: (flow: Flow) => void): Flow {
  const flow = createFlow(acks);
  steps(flow);
  return flow;
}

/** `count` frames of 1 KiB, from event `first` on, all at `at`. */
function burst(flow: Flow, first: number, count: number, at: number): void {
  for (let n = 0; n < count; n += 1) sent(flow, first + n, 1024, at);
}

describe("a subscriber that acknowledges", () => {
  test("is let go when something is 10 s old, and not before", () => {
    const flow = after(true, (it) => sent(it, 1, 100, 0));
    expect([10_000, 10_001].map((now) => isTooFarBehind(flow, false, now))).toEqual([false, true]);
  });

  test("is let go when more than 1 MiB is on its way", () => {
    const flow = after(true, (it) => burst(it, 1, 1024, 0));
    expect(isTooFarBehind(flow, false, 1)).toBe(false);
    sent(flow, 1025, 1, 0);
    expect(isTooFarBehind(flow, false, 1)).toBe(true);
  });

  test("is not let go for what it is sent again at its own pace, but for its silence", () => {
    const flow = after(true, (it) => burst(it, 1, 3_000, 0));
    expect(isTooFarBehind(flow, true, 9_000)).toBe(false);
    expect(isTooFarBehind(flow, true, 10_001)).toBe(true);
  });

  test("is free of what it has acknowledged, and of nothing more", () => {
    const flow = after(true, (it) => {
      burst(it, 1, 100, 0);
      burst(it, 101, 100, 5_000);
    });
    acknowledged(flow, 100);
    expect(isTooFarBehind(flow, false, 12_000)).toBe(false);
    expect(isTooFarBehind(flow, false, 15_001)).toBe(true);
    expect(flow.bytes).toBeGreaterThanOrEqual(100 * 1024);
    acknowledged(flow, 200);
    expect([flow.bytes, flow.groups]).toEqual([0, []]);
  });

  test("is not helped by an acknowledgement of the past", () => {
    const flow = after(true, (it) => sent(it, 7, 100, 0));
    acknowledged(flow, 6);
    expect(isTooFarBehind(flow, false, 10_001)).toBe(true);
  });

  test("is not helped by a word that acknowledges nothing", () => {
    const flow = after(true, (it) => sent(it, 7, 100, 0));
    heard(flow, 9_000);
    expect(isTooFarBehind(flow, false, 10_001)).toBe(true);
  });

  test("costs no more than some dozens of groups, however many frames are on their way", () => {
    const flow = after(true, (it) => {
      for (let n = 0; n < 1_000_000; n += 1) sent(it, n, 1, n / 100);
    });
    expect(flow.groups.length).toBeLessThan(50);
  });
});

describe("a subscriber that does not acknowledge", () => {
  test("is not let go for its silence alone, nor for much at once", () => {
    expect(
      isTooFarBehind(
        after(false, (it) => sent(it, 1, 100, 0)),
        false,
        1e9,
      ),
    ).toBe(false);
    expect(
      isTooFarBehind(
        after(false, (it) => burst(it, 1, 3_000, 0)),
        false,
        9_000,
      ),
    ).toBe(false);
  });

  test("is let go after 1 MiB and 10 s without a word", () => {
    const flow = after(false, (it) => burst(it, 1, 1_025, 0));
    expect(isTooFarBehind(flow, false, 10_001)).toBe(true);
  });

  test("is believed by its word what was sent before", () => {
    const flow = after(false, (it) => burst(it, 1, 1_025, 0));
    heard(flow, 5_000);
    expect(flow.bytes).toBe(0);
    burst(flow, 1_026, 1_025, 6_000);
    heard(flow, 5_500);
    expect(flow.bytes).toBe(1_025 * 1024);
    expect(MIB).toBeLessThan(flow.bytes);
    expect(isTooFarBehind(flow, false, 16_001)).toBe(true);
  });

  test("is one that does from its first acknowledgement on", () => {
    const flow = after(false, (it) => sent(it, 1, 100, 0));
    acknowledged(flow, 0);
    expect(isTooFarBehind(flow, false, 10_001)).toBe(true);
  });
});
