import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type OwedClock, withDeadline } from "../../../src/bucket/deadline";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const LATE = new Error("late");
const never = new Promise<never>(() => undefined);

/** A call that does as it is told with its clock, and whether it has been given up. */
function started(call: (clock: OwedClock) => Promise<unknown> = () => never) {
  const state: { clock: OwedClock | null; end: unknown } = { clock: null, end: "running" };
  withDeadline(
    100,
    () => LATE,
    (clock) => {
      state.clock = clock;
      return call(clock);
    },
  ).then(
    (value) => {
      state.end = value;
    },
    (error: unknown) => {
      state.end = error;
    },
  );
  return {
    clock: state.clock ?? expect.fail("not started"),
    after: async (ms: number) => {
      await vi.advanceTimersByTimeAsync(ms);
      return state.end;
    },
  };
}

describe("a deadline", () => {
  test("gives a call up that does not answer, and not before", async () => {
    const { after } = started();
    expect(await after(99)).toBe("running");
    expect(await after(1)).toBe(LATE);
  });

  test("passes results and errors on, and leaves no timer behind", async () => {
    expect(await started(async () => "result").after(0)).toBe("result");
    const error = new Error("its own");
    expect(await started(() => Promise.reject(error)).after(0)).toBe(error);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("stands still while the source is waited for, however long", async () => {
    const { clock, after } = started();
    clock.pause();
    expect(await after(10_000)).toBe("running");
    clock.run();
    expect(await after(99)).toBe("running");
    expect(await after(101)).toBe(LATE);
  });

  test("starts anew with each chunk that is taken", async () => {
    const { clock, after } = started();
    for (let chunk = 0; chunk < 20; chunk += 1) {
      expect(await after(60)).toBe("running");
      clock.run();
    }
    expect(await after(99)).toBe("running");
    expect(await after(1)).toBe(LATE);
  });

  test("once stopped never passes", async () => {
    const { clock, after } = started();
    clock.stop();
    expect(await after(10_000)).toBe("running");
  });
});
