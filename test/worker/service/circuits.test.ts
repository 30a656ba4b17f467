import { reset, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  allEvents,
  configure,
  FAST,
  fail,
  heal,
  OUTAGE,
  openWrites,
  rawService,
  report,
  reportOf,
  service,
  stateOf,
  until,
} from "./world";

// The first probe of all comes at first use: here it is out of the way.
beforeEach(async () => {
  await configure(FAST);
  await service().probe();
});
afterEach(() => reset());

describe("the service-wide circuit opens", () => {
  test("when a second isolate agrees, and the one that says so is told in the answer", async () => {
    expect((await report("a", OUTAGE)).circuits.write.state).toBe("CLOSED");
    const { circuits } = await report("b", OUTAGE);
    expect(circuits.write.state).toBe("OPEN");
    expect(circuits.write.openUntil).toBeGreaterThan(Date.now() - 1);
    expect(circuits.read.state).toBe("CLOSED");
    expect((await service().overview()).record.degradation_reason).toBe("write: two reporters agree");
  });

  test("when a probe made at once confirms what one isolate says; it does not wait for it", async () => {
    await configure({ circuit_breaker_timeout: 60_000 });
    await fail("write");
    expect((await report("a", OUTAGE)).circuits.write.state).toBe("CLOSED");
    await until(
      () => stateOf("write"),
      (state) => state === "OPEN",
    );
    expect(await stateOf("read")).toBe("CLOSED");
    expect((await service().overview()).record.degradation_reason).toBe("write: confirmed by a probe");
  });

  test("not when one isolate alone says so and the probe goes well", async () => {
    await report("a", OUTAGE);
    await service().probe();
    for (let i = 0; i < 3; i += 1) expect((await report("a", OUTAGE)).circuits.write.state).toBe("CLOSED");
    await service().probe();
    expect(await stateOf("write")).toBe("CLOSED");
    expect((await service().overview()).record.status).toBe("HEALTHY");
  });

  test("when two probes in a row fail, without any client traffic", async () => {
    await configure({ circuit_breaker_timeout: 60_000 });
    await fail("read");
    await service().probe();
    await until(
      () => stateOf("read"),
      (state) => state === "OPEN",
    );
    expect(await stateOf("write")).toBe("CLOSED");
  });
});

describe("the service-wide circuit closes", () => {
  test("without any client traffic, by its own probes, and with a ramp", async () => {
    await configure({ circuit_breaker_timeout: 300 });
    await openWrites();
    const open = await service().overview();
    const events = await until(allEvents, (all) => all.some(({ event_data }) => event_data.to === "CLOSED"));
    const states = events.filter(({ event_type }) => event_type === "CIRCUIT_STATE_CHANGED");
    expect(states.map(({ event_data }) => event_data.to)).toEqual(["OPEN", "HALF_OPEN", "CLOSED"]);
    const { record, bucketCalls, bucketCallsWhileOpen } = await service().overview();
    expect(record.circuits.write.admit).toBeGreaterThanOrEqual(0.1);
    expect(record.degradation_reason).toBeNull();
    expect(bucketCalls.probes.write).toBeGreaterThan(open.bucketCalls.probes.write);
    // Two trials, each with a put and a delete.
    expect(bucketCallsWhileOpen.probes.write).toBe(4);
  });

  test("only when R2 is well again; each failed trial opens it anew", async () => {
    await fail("write");
    await openWrites();
    await until(allEvents, (all) => all.filter(({ event_data }) => event_data.to === "OPEN").length >= 3);
    expect(["OPEN", "HALF_OPEN"]).toContain(await stateOf("write"));
    await heal();
    await until(
      () => stateOf("write"),
      (state) => state === "CLOSED",
    );
  });

  test("after probes that hang: they end by their deadline, and wedge nothing", async () => {
    await configure({ write_timeout_ms: 30, read_timeout_ms: 30 });
    await service().setFaults([{ operations: "all", hang: true }], { actor: "tester", requestId: "r" });
    const { result } = await service().probe();
    expect(result).toMatchObject({ write: { ok: false }, read: { ok: false }, remove: { ok: false, ms: null } });
    await until(
      () => stateOf("write"),
      (state) => state !== "CLOSED",
    );
    expect((await service().overview()).record.status).toBe("OFFLINE");
    await heal();
    await until(
      async () => [await stateOf("read"), await stateOf("write")],
      (states) => states.every((s) => s === "CLOSED"),
    );
  });
});

describe("what reports tell", () => {
  test("bucket calls count as made while open only from reporters who had been told", async () => {
    await configure({ circuit_breaker_timeout: 60_000 });
    await report("a", { ...OUTAGE, bucketCalls: { put: 5 } });
    await report("b", { ...OUTAGE, bucketCalls: { put: 5, get: 2 } });
    await report("a", { bucketCalls: { put: 3 } });
    await report("b", { bucketCalls: { put: 1, head: 1 } });
    const { bucketCalls, bucketCallsWhileOpen } = await service().overview();
    expect(bucketCalls.isolates).toEqual({ read: 3, write: 14 });
    expect(bucketCallsWhileOpen.isolates).toEqual({ read: 0, write: 1 });
  });

  test("a report that is no report is refused and moves nothing", async () => {
    await report("a");
    const broken = reportOf("b", { write: { failure: Number.NaN, consecutiveFailures: 1e300 } });
    await runInDurableObject(rawService(), (object) => expect(object.report(broken)).rejects.toThrow(/NaN/));
    expect((await service().overview()).record.health_metrics).toMatchObject({ consecutive_failures: 0 });
  });

  test("a caller's own errors and throttling open nothing", async () => {
    for (const reporter of ["a", "b", "c"]) await report(reporter, { write: { ignored: 500, throttled: 500 } });
    expect(await stateOf("write")).toBe("CLOSED");
  });

  test("health metrics are the rates over the window", async () => {
    await configure({ health_check_interval: 3_600_000 });
    const before = (await service().overview()).bucketCalls.probes;
    await report("a", { read: { success: 94 }, write: { success: 2, failure: 2, consecutiveFailures: 2 } });
    const { record, bucketCalls } = await service().overview();
    expect(bucketCalls.probes).toEqual(before);
    // Of probes there are two successes each, of both classes.
    const probes = bucketCalls.probes.read * 2;
    expect(record.health_metrics.error_rate).toBeCloseTo((2 / (98 + probes)) * 100, 1);
    expect(record.health_metrics.success_rate).toBeCloseTo((1 - 2 / (98 + probes)) * 100, 1);
    expect(record.health_metrics.consecutive_failures).toBe(2);
  });

  test("the lease is short in an incident, and never beyond the cap", async () => {
    expect((await report("a")).leaseMs).toBe(5_000);
    await openWrites();
    expect((await report("a")).leaseMs).toBe(1_000);
    await configure({ lease_cap_ms: 200 });
    expect((await report("a")).leaseMs).toBe(200);
  });
});
