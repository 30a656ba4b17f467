import { abortAllDurableObjects, evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_CONFIG } from "../../../src/shared/config";
import { allEvents, BY, busy, configure, openWrites, rawService, report, reportOf, service, until } from "./world";

beforeEach(async () => {
  await service().probe();
});
afterEach(() => reset());

const die = { evicted: () => evictDurableObject(rawService()), aborted: () => abortAllDurableObjects() };

describe.each(["evicted", "aborted"] as const)("an object that is %s", (end) => {
  test("comes back with its circuits, modes, faults, pause and shards, and its version does not go back", async () => {
    await openWrites();
    await service().setMode({ mode: "forced_open", circuits: ["read"], readOnly: true, reason: "drill" }, BY);
    await service().setFaults([{ operations: ["list"] }], BY);
    await service().setPaused(true, BY);
    await service().notice(busy(2, 5));
    const before = await report("a");
    await die[end]();
    const after = await report("a");
    const { issuedAt: _, leaseMs: __, activeIsolates: ___, version, ...kept } = after;
    expect(before).toMatchObject(kept);
    expect(version).toBeGreaterThanOrEqual(before.version);
    expect(after.storageId).toBe(before.storageId);
    const overview = await service().overview();
    expect(overview).toMatchObject({ paused: true, record: { degradation_reason: "drill", read_only: true } });
  });

  test("assumes that what it handed out is still trusted", async () => {
    await service().notice(busy(2, 5));
    await die[end]();
    expect((await service().notice(busy(2, 5))).leasesEndInMs).toBeGreaterThan(29_000);
  });

  test("goes on probing, and closes the circuit without any traffic", async () => {
    await configure({ circuit_breaker_timeout: 200 });
    await openWrites();
    await die[end]();
    await until(allEvents, (all) => all.some(({ event_data }) => event_data.to === "CLOSED"));
  });

  test("numbers its events on, without a gap and without a duplicate", async () => {
    const event = {
      event_type: "OPERATION_DEAD_LETTERED",
      event_category: "QUEUE",
      severity: "WARNING",
      event_data: { operation_id: "2-0000abcd-x" },
      created_at: "2026-01-31T12:00:00.000Z",
    } as const;
    await service().recordEvent({ ...event, id: "one" });
    await openWrites();
    await die[end]();
    await service().recordEvent({ ...event, id: "one" });
    await service().recordEvent({ ...event, id: "two" });
    const events = await allEvents();
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
    expect(events.filter(({ event_type }) => event_type === event.event_type)).toHaveLength(2);
    const page = await service().events(1, 2);
    expect(page.events.map(({ seq }) => seq)).toEqual([2, 3]);
  });
});

describe("an alarm that was lost", () => {
  const loseAlarm = () => runInDurableObject(rawService(), (_, state) => state.storage.deleteAlarm());
  const alarm = () => runInDurableObject(rawService(), (_, state) => state.storage.getAlarm());

  test("is set anew by a poke", async () => {
    await loseAlarm();
    expect(await alarm()).toBeNull();
    await service().poke();
    expect(await alarm()).toBeGreaterThan(Date.now());
  });

  test("is set anew when the object is made", async () => {
    await loseAlarm();
    await abortAllDurableObjects();
    expect(await alarm()).toBeGreaterThan(0);
  });

  test("is made good by any call after its time", async () => {
    await configure({ circuit_breaker_timeout: 100 });
    await openWrites();
    await loseAlarm();
    await until(
      () => report("c"),
      ({ circuits }) => circuits.write.state === "CLOSED",
    );
  });
});

describe("with SystemDO down", () => {
  test("a service begins with the defaults", async () => {
    await reset();
    await runInDurableObject(rawService(), async (object) => {
      const broken = { idFromName: () => "id", get: () => ({ register: () => Promise.reject(new Error("down")) }) };
      Object.assign(object, { env: { ...env, SYSTEM_DO: broken } });
      const { config, shardCount } = await object.report(reportOf("a"));
      expect({ config, shardCount }).toEqual({ config: DEFAULT_CONFIG, shardCount: 8 });
    });
  });

  test("a service keeps the config that it has stored", async () => {
    await configure({ circuit_breaker_threshold: 9 });
    await abortAllDurableObjects();
    await runInDurableObject(rawService(), async (object) => {
      const broken = { idFromName: () => "id", get: () => ({ register: () => Promise.reject(new Error("down")) }) };
      Object.assign(object, { env: { ...env, SYSTEM_DO: broken } });
      await object.poke();
      expect((await object.report(reportOf("a"))).config.service.circuit_breaker_threshold).toBe(9);
    });
  });
});
