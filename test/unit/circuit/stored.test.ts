import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Circuit,
  createCircuit,
  force,
  restore,
  retryAfterMs,
  serialise,
  stateAt,
  view,
} from "../../../src/circuit/circuit";
import { calls, ISOLATE, isolateCircuit, openedCircuit, T0 } from "./support";

const again = (circuit: Circuit): Circuit => restore(serialise(circuit), circuit.settings);

describe("a stored circuit comes back", () => {
  function after(prepare: (circuit: Circuit) => void, circuit = isolateCircuit()): Circuit {
    prepare(circuit);
    return circuit;
  }
  test.each([
    { name: "closed", circuit: isolateCircuit(), now: T0 },
    { name: "open, for the rest of its time", circuit: openedCircuit(), now: T0 + 999 },
    { name: "half-open, when its time has run out meanwhile", circuit: openedCircuit(), now: T0 + 1_000 },
    {
      name: "ramping, as far as it was",
      circuit: after((c) => calls(c, "ss", T0 + 1_000), openedCircuit()),
      now: T0 + 6_000,
    },
    { name: "forced open", circuit: after((c) => force(c, "forced_open", T0)), now: T0 + 1 },
    { name: "forced closed", circuit: after((c) => force(c, "forced_closed", T0)), now: T0 + 1 },
    { name: "in metrics-only", circuit: after((c) => force(c, "metrics_only", T0)), now: T0 + 1 },
  ])("$name", ({ circuit, now }) => {
    const restored = again(circuit);
    expect(view(restored, now)).toEqual(view(circuit, now));
    expect(retryAfterMs(restored, now)).toBe(retryAfterMs(circuit, now));
  });

  test("open no longer than a cap that was lowered meanwhile", () => {
    const restored = restore(serialise(openedCircuit({ baseOpenMs: 50_000 })), { ...ISOLATE, maxOpenMs: 20_000 });
    expect(view(restored, T0).openUntil).toBe(T0 + 20_000);
  });

  test("with its openings in a row: the next open time is as long as it would have been", () => {
    const circuit = again(openedCircuit());
    calls(circuit, "f", T0 + 1_000);
    expect(retryAfterMs(circuit, T0 + 1_000)).toBe(2_000);
  });

  test("with the trials that succeeded, so that evictions cannot keep it from closing", () => {
    const circuit = openedCircuit();
    calls(circuit, "s", T0 + 1_000);
    const restored = again(circuit);
    calls(restored, "s", T0 + 1_100);
    expect(stateAt(restored, T0 + 1_100)).toBe("CLOSED");
  });

  test("without the trial slot: nobody will give that back", () => {
    const circuit = openedCircuit();
    calls(circuit, "", T0);
    stateAt(circuit, T0 + 1_000);
    circuit.trialStartedAt = T0 + 1_000;
    const restored = again(circuit);
    calls(restored, "f", T0 + 1_001);
    expect(stateAt(restored, T0 + 1_001)).toBe("OPEN");
  });
});

describe("a stored text that is no circuit gives a closed one", () => {
  const good = JSON.parse(serialise(openedCircuit())) as Record<string, unknown>;
  const texts: [why: string, text: string][] = [
    ["empty", ""],
    ["no JSON", "{"],
    ["null", "null"],
    ["a number", "7"],
    ["a list", "[]"],
    ["another version", JSON.stringify({ ...good, version: 2 })],
    ["a state that does not exist", JSON.stringify({ ...good, state: "AJAR" })],
    ["no open time", JSON.stringify({ ...good, openUntil: null })],
    ["no opening time", JSON.stringify({ ...good, openedAt: undefined })],
    ["an endless open time", JSON.stringify(good).replace(/"openUntil":\d+/, '"openUntil":1e999')],
    ["a broken generation", JSON.stringify({ ...good, generation: 1.5 })],
    ["a negative count", JSON.stringify({ ...good, openings: -1 })],
    ["a closing time as text", JSON.stringify({ ...good, closedAt: "yesterday" })],
    ["a ramp without a length", JSON.stringify({ ...good, ramp: { from: 0.1, startedAt: T0 } })],
    ["a ramp from above 1", JSON.stringify({ ...good, ramp: { from: 2, startedAt: T0, durationMs: 1 } })],
    ["no trials", JSON.stringify({ ...good, trialSuccesses: undefined })],
  ];
  test.each(texts)("%s", (_why, text) => {
    expect(restore(text, ISOLATE)).toEqual(createCircuit(ISOLATE));
  });

  test("any text: it never throws", () => {
    const mutated = fc
      .tuple(fc.constantFrom(...Object.keys(good)), fc.jsonValue())
      .map(([field, value]) => JSON.stringify({ ...good, [field]: value }));
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), mutated), (text) => {
        const circuit = restore(text, ISOLATE);
        expect(view(circuit, T0).state).toBe(stateAt(circuit, T0));
      }),
    );
  });
});
