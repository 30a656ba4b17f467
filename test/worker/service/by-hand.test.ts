import { reset, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { FaultRule } from "../../../src/shared/protocol";
import type { ModeChange } from "../../../src/shared/rpc";
import {
  allEvents,
  BY,
  configure,
  FAST,
  openWrites,
  rawService,
  report,
  service,
  stateOf,
  system,
  until,
} from "./world";

beforeEach(async () => {
  await service().probe();
});
afterEach(() => reset());

const setMode = (change: ModeChange) => service().setMode(change, BY);

describe("a mode by hand", () => {
  test("forced open stays open whatever the probes say, and auto closes it", async () => {
    const answer = await setMode({ mode: "forced_open", reason: "drill" });
    expect(answer).toMatchObject({
      ok: true,
      record: { status: "OFFLINE", circuit_breaker_state: "FORCED_OPEN", degradation_reason: "drill" },
      snapshot: { circuits: { read: { state: "FORCED_OPEN" }, write: { state: "FORCED_OPEN" } } },
    });
    await service().probe();
    expect(await stateOf("write")).toBe("FORCED_OPEN");
    expect(await setMode({ mode: "auto", reason: "over" })).toMatchObject({
      record: { status: "HEALTHY", circuit_breaker_state: "CLOSED", degradation_reason: null },
    });
  });

  test("is for one circuit where it names one", async () => {
    const answer = await setMode({ mode: "forced_open", circuits: ["write"], reason: "drill" });
    expect(answer).toMatchObject({ record: { status: "DEGRADED", circuits: { read: { state: "CLOSED", admit: 1 } } } });
  });

  test.each(["forced_closed", "metrics_only"] as const)("%s does not open, whoever agrees", async (mode) => {
    await setMode({ mode, reason: "trying it out" });
    await openWrites();
    expect(await stateOf("write")).toBe(mode.toUpperCase());
  });

  test("falls back to auto by itself when its time has run out", async () => {
    await setMode({ mode: "forced_open", readOnly: true, reason: "drill", durationMs: 60 });
    expect((await report("a")).readOnly).toBe(true);
    const events = await until(allEvents, (all) => all.some(({ event_data }) => event_data.to === "CLOSED"));
    expect((await report("a")).readOnly).toBe(false);
    expect(
      events.filter(({ event_type }) => event_type === "MODE_CHANGED").map(({ event_data }) => event_data.mode),
    ).toEqual(["forced_open", "auto"]);
  });

  test("is an event with its actor, its request and its reason", async () => {
    await setMode({ mode: "forced_open", reason: "drill", circuits: ["read"] });
    const [event] = (await allEvents()).filter(({ event_type }) => event_type === "MODE_CHANGED");
    expect(event).toMatchObject({
      event_category: "ACTION",
      service_name: "R2_STORAGE",
      event_data: { mode: "forced_open", circuits: ["read"], reason: "drill", actor: "tester", request_id: "req-1" },
    });
  });

  test("read-only makes a service degraded, and every snapshot says so", async () => {
    expect(await setMode({ mode: "auto", readOnly: true, reason: "maintenance" })).toMatchObject({
      record: { status: "DEGRADED", read_only: true, degradation_reason: "maintenance" },
      snapshot: { readOnly: true },
    });
  });

  test("that makes no sense is refused, and changes nothing", async () => {
    const before = await report("a");
    expect(await setMode({ mode: "open" as "auto", reason: "x" })).toMatchObject({
      ok: false,
      code: "INVALID_REQUEST",
    });
    expect((await report("a")).version).toBe(before.version);
  });
});

describe("injected faults", () => {
  const rule: FaultRule = { operations: ["put"], error_code: 10043 };

  test("are in every snapshot at once, and meet the probes", async () => {
    expect(await service().setFaults([rule], BY)).toMatchObject({
      ok: true,
      faults: [rule],
      snapshot: { faults: [rule] },
    });
    expect((await report("a")).faults).toEqual([rule]);
    expect(await service().faults()).toEqual([rule]);
    expect((await service().probe()).result).toMatchObject({ write: { ok: false }, read: { ok: true } });
  });

  test("end when they expire, in the snapshot too", async () => {
    const expires_at = new Date(Date.now() + 40).toISOString();
    await service().setFaults([{ ...rule, expires_at }], BY);
    await until(
      () => service().faults(),
      (faults) => faults.length === 0,
    );
    expect((await report("a")).faults).toEqual([]);
  });

  test("that are malformed are refused with what is allowed", async () => {
    const answer = await service().setFaults([{ operations: "writes" as "write" }], BY);
    expect(answer).toMatchObject({
      ok: false,
      code: "INVALID_REQUEST",
      message: expect.stringMatching(/"read", "write"/),
    });
    expect(await service().faults()).toEqual([]);
  });

  test("are refused where FAULT_INJECTION is not on", async () => {
    await runInDurableObject(rawService(), async (object) => {
      Object.assign(object, { env: { ...Reflect.get(object, "env"), FAULT_INJECTION: undefined } });
      expect(await object.setFaults([rule], BY)).toMatchObject({ ok: false, code: "FAULT_INJECTION_OFF" });
    });
    expect(await service().faults()).toEqual([]);
  });
});

describe("config", () => {
  test("is in the next snapshot, in force at once, and an event with its actor", async () => {
    await report("a");
    await configure({ ...FAST, circuit_breaker_threshold: 7 });
    const { config } = await report("a");
    expect(config.service).toMatchObject({ circuit_breaker_timeout: 100, circuit_breaker_threshold: 7 });
    const events = (await allEvents()).filter(({ event_type }) => event_type === "CONFIG_CHANGED");
    expect(events.map(({ event_data }) => event_data)).toEqual([
      { changed: { circuit_breaker_timeout: { from: 60_000, to: 100 } }, actor: "tester", request_id: "req-1" },
      { changed: { circuit_breaker_threshold: { from: 5, to: 7 } }, actor: "tester", request_id: "req-1" },
    ]);
    await openWrites();
    await until(
      () => stateOf("write"),
      (state) => state === "CLOSED",
    );
  });

  test("keeps the number of shards that the service began with", async () => {
    await report("a");
    await system().setConfig("OPERATION_QUEUE", "shards", 3, BY);
    const { shardCount, config } = await report("a");
    expect({ shardCount, configured: config.queue.shards }).toEqual({ shardCount: 8, configured: 3 });
  });

  test("of a service that is used first after the change is the new one", async () => {
    await reset();
    await system().setConfig("OPERATION_QUEUE", "shards", 3, BY);
    expect((await report("a")).shardCount).toBe(3);
  });
});
