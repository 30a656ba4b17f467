import { describe, expect, test } from "vitest";
import { nextAlarmAt, nextProbeAt, type Probing } from "../../../durable-objects/service/alarm";
import { newService, type ServiceState, settingsOf } from "../../../durable-objects/service/service-state";
import { force, stateAt, trip } from "../../../src/circuit/circuit";
import { DEFAULT_CONFIG } from "../../../src/shared/config";

const T0 = 1_000_000;
const IDLE: Probing = { isSuspect: false, startedAt: null, isRunning: false };
const half = () => 0.5;

function service(change: (state: ServiceState) => void, hasProbe = true): ServiceState {
  const state = newService("R2_STORAGE", DEFAULT_CONFIG, hasProbe, T0);
  state.lastCheckAt = T0;
  change(state);
  return state;
}

describe("the next probe", () => {
  test("is due at once when there was none", () => {
    expect(
      nextProbeAt(
        service((s) => Object.assign(s, { lastCheckAt: null })),
        IDLE,
        T0 + 7,
      ),
    ).toBe(T0 + 7);
  });
  test("comes at the interval in calm", () => {
    expect(
      nextProbeAt(
        service(() => undefined),
        IDLE,
        T0 + 1,
      ),
    ).toBe(T0 + 30_000);
  });
  test("is due at once under suspicion, but not more often than every 500 ms", () => {
    const state = service(() => undefined);
    expect(nextProbeAt(state, { ...IDLE, isSuspect: true }, T0 + 1)).toBe(T0 + 1);
    expect(nextProbeAt(state, { ...IDLE, isSuspect: true, startedAt: T0 - 100 }, T0 + 1)).toBe(T0 + 400);
  });
  test("is a trial every 200 ms while half-open", () => {
    const state = service((s) => trip(s.circuits.write, T0, half));
    const later = state.circuits.write.openUntil;
    expect(stateAt(state.circuits.write, later)).toBe("HALF_OPEN");
    expect(nextProbeAt(state, IDLE, later)).toBe(later);
    state.lastCheckAt = later;
    expect(nextProbeAt(state, IDLE, later + 1)).toBe(later + 200);
  });
  test("waits for the one that is under way, but not for ever", () => {
    const running = { isSuspect: true, startedAt: T0, isRunning: true };
    expect(
      nextProbeAt(
        service(() => undefined),
        running,
        T0 + 1,
      ),
    ).toBe(T0 + 40_000);
  });
  test("is never, while monitoring is stopped; then a share of the callers are the trials", () => {
    const state = service((s) => {
      s.isMonitored = false;
    });
    expect(nextProbeAt(state, { ...IDLE, isSuspect: true }, T0)).toBeNull();
    expect(settingsOf(state.config, state).trials).toBe("ratio");
    state.isMonitored = true;
    expect(settingsOf(state.config, state).trials).toBe("probes");
  });
  test("is never, without anything to probe", () => {
    expect(
      nextProbeAt(
        service(() => undefined, false),
        { ...IDLE, isSuspect: true },
        T0,
      ),
    ).toBeNull();
  });
});

describe("the next alarm", () => {
  test("is the next probe's in calm", () => {
    expect(
      nextAlarmAt(
        service(() => undefined),
        IDLE,
        T0 + 1,
      ),
    ).toBe(T0 + 30_000);
  });
  test("is the end of the open time, also without a probe", () => {
    for (const hasProbe of [true, false]) {
      const state = service((s) => trip(s.circuits.read, T0, half), hasProbe);
      expect(nextAlarmAt(state, IDLE, T0 + 1)).toBe(T0 + 750);
    }
  });
  test("is the end of what was set by hand", () => {
    const state = service((s) => {
      force(s.circuits.write, "forced_open", T0);
      s.byHand = { ...s.byHand, modes: { ...s.byHand.modes, write: { mode: "forced_open", until: T0 + 90 } } };
    });
    expect(nextAlarmAt(state, IDLE, T0)).toBe(T0 + 90);
    state.byHand = { ...state.byHand, readOnly: { on: true, until: T0 + 40 } };
    expect(nextAlarmAt(state, IDLE, T0)).toBe(T0 + 40);
  });
  test("is never in the past", () => {
    expect(
      nextAlarmAt(
        service(() => undefined),
        IDLE,
        T0 + 99_999,
      ),
    ).toBe(T0 + 99_999);
  });
  test("is none when nothing is to come", () => {
    expect(
      nextAlarmAt(
        service(() => undefined, false),
        IDLE,
        T0,
      ),
    ).toBeNull();
  });
});
