import { abortAllDurableObjects, evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { serviceStub } from "../../../src/bucket/stubs";
import type { EventBatch } from "../../../src/shared/event-batch";
import { type EventRecord, recordedEvent } from "../../../src/shared/records";
import type { SystemRpc } from "../../../src/shared/rpc";
import { BY, configure, rawService, service, system, until } from "../service/world";

afterEach(() => reset());

const rawSystem = () => env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system"));
const feed = async (): Promise<EventRecord[]> => (await system().events(0, 1_000)).events;
const own = async (name: string): Promise<EventRecord[]> => (await serviceStub(env, name).events(0, 1_000)).events;
const bare = ({ seq: _, ...event }: EventRecord) => event;

/** An event of an operator's, for each number. */
async function pauseAndResume(times: number, name = "R2_STORAGE"): Promise<void> {
  for (let n = 0; n < times; n += 1) {
    await serviceStub(env, name).setPaused(true, BY);
    await serviceStub(env, name).setPaused(false, BY);
  }
}

/** The feed, once it holds all that the service has recorded. */
async function caughtUp(name = "R2_STORAGE"): Promise<EventRecord[]> {
  const recorded = await own(name);
  const isWhole = (events: EventRecord[]) =>
    events.filter(({ service_name }) => service_name === name).length >= recorded.length;
  await until(feed, isWhole, 20_000);
  return feed();
}

/** Puts something between a service and SystemDO. */
const between = (takeEvents: SystemRpc["takeEvents"]) =>
  runInDurableObject(rawService(), (object) => {
    const stub = { register: (name: string) => system().register(name), takeEvents };
    Object.assign(object, { env: { ...env, SYSTEM_DO: { idFromName: () => "id", get: () => stub } } });
  });

function expectNoGap(events: readonly EventRecord[]): void {
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
}

describe("the system feed", () => {
  test("has the events of every service, each service's in its order, under numbers of its own without a gap", async () => {
    await Promise.all([pauseAndResume(5, "R2_STORAGE"), pauseAndResume(5, "D1_DATABASE")]);
    await caughtUp("D1_DATABASE");
    const events = await caughtUp("R2_STORAGE");
    expectNoGap(events);
    for (const name of ["R2_STORAGE", "D1_DATABASE"]) {
      const merged = events.filter(({ service_name }) => service_name === name);
      expect(merged.map(bare)).toEqual((await own(name)).map(bare));
    }
  });

  test.each(["evicted", "aborted"] as const)(
    "has each event once when the objects are %s again and again",
    async (end) => {
      for (let round = 0; round < 5; round += 1) {
        await pauseAndResume(3);
        if (end === "evicted") await evictDurableObject(rawService());
        else await abortAllDurableObjects();
      }
      const events = await caughtUp();
      expectNoGap(events);
      expect(events.map(bare)).toEqual((await own("R2_STORAGE")).map(bare));
    },
  );

  test("keeps its epoch, and its numbers, over an abort", async () => {
    await pauseAndResume(1);
    await caughtUp();
    const before = await system().events(0, 10);
    await abortAllDurableObjects();
    expect(await system().events(0, 10)).toEqual(before);
  });

  test("has the history of the config: who set what, and what came into force", async () => {
    await service().overview();
    await configure({ max_retries: 9 });
    await system().setConfig("NOTIFICATIONS", "max_notifications_per_user", 5, BY);
    const events = (await caughtUp()).filter(({ event_category }) => event_category === "CONFIG");
    const by = { actor: "tester", request_id: "req-1" };
    expect(events.map(({ event_type, service_name, event_data }) => [event_type, service_name, event_data])).toEqual(
      expect.arrayContaining([
        ["CONFIG_SET", "R2_STORAGE", { section: "R2_STORAGE", key: "max_retries", from: 3, to: 9, ...by }],
        ["CONFIG_CHANGED", "R2_STORAGE", { changed: { max_retries: { from: 3, to: 9 } }, ...by }],
        [
          "CONFIG_SET",
          "NOTIFICATIONS",
          { section: "NOTIFICATIONS", key: "max_notifications_per_user", from: 100, to: 5, ...by },
        ],
      ]),
    );
    expect(events).toHaveLength(3);
  });
});

describe("on the way to the feed", () => {
  test("a lost reply makes no second event", async () => {
    const sent: number[][] = [];
    await between(async (batch) => {
      sent.push(batch.events.map(({ seq }) => seq));
      const taken = await system().takeEvents(batch);
      if (sent.length < 3) throw new Error("Network connection lost.");
      return taken;
    });
    await pauseAndResume(2);
    const events = await caughtUp();
    await until(
      async () => sent.length,
      (calls) => calls >= 3,
      20_000,
    );
    await pauseAndResume(1);
    await caughtUp();
    expectNoGap(await feed());
    expect((await feed()).map(bare)).toEqual((await own("R2_STORAGE")).map(bare));
    expect(events.length).toBeGreaterThan(0);
    expect(sent[1]?.[0]).toBe(sent[0]?.[0]);
  });

  test("a SystemDO that hangs delays no answer of the service, and gets all when it is back", async () => {
    let isHanging = true;
    await between((batch) => (isHanging ? new Promise(() => {}) : system().takeEvents(batch)));
    await pauseAndResume(3);
    expect((await own("R2_STORAGE")).length).toBeGreaterThanOrEqual(6);
    expect(await feed()).toEqual([]);
    isHanging = false;
    await until(feed, (events) => events.length >= 6, 20_000);
    expect((await caughtUp()).map(bare)).toEqual((await own("R2_STORAGE")).map(bare));
  });

  test("what could not be delivered is delivered by the alarm, also after the object was made anew", async () => {
    await between(() => Promise.reject(new Error("down")));
    await pauseAndResume(2);
    expect(await feed()).toEqual([]);
    await abortAllDurableObjects();
    await until(feed, (events) => events.length >= 4, 20_000);
    expect((await caughtUp()).map(bare)).toEqual((await own("R2_STORAGE")).map(bare));
  });

  test("a feed that has lost its storage is filled again, under another epoch", async () => {
    await pauseAndResume(2);
    await caughtUp();
    const before = await system().events(0, 1_000);
    await runInDurableObject(rawSystem(), async (_, { storage }) => await storage.deleteAll());
    await abortAllDurableObjects();
    await pauseAndResume(1);
    const events = await caughtUp();
    expect(events.map(bare)).toEqual((await own("R2_STORAGE")).map(bare));
    expect((await system().events(0, 1)).storageId).not.toBe(before.storageId);
  });

  test("a storm of 10,000 events arrives whole", async () => {
    await service().overview();
    const events = Array.from({ length: 10_000 }, (_, n) => ({
      ...recordedEvent("OPERATION_COMPLETED", "INFO", { n }, 0),
      seq: n + 1,
    }));
    for (let n = 0; n < events.length; n += 500) {
      await service().takeEvents({ source: "shard:0", epoch: "e", after: 0, events: events.slice(n, n + 500) });
    }
    const { head } = await service().events(null, 1);
    await until(
      () => system().events(null, 1),
      (page) => page.head >= head,
      25_000,
    );
    for (const page of [await system().events(9_000, 1_000), await service().events(9_000, 1_000)]) {
      const numbers = page.events.map(({ seq }) => seq);
      expect(numbers).toEqual(numbers.map((_, index) => 9_001 + index));
    }
  });
});

describe("what SystemDO takes", () => {
  const batch = (change: Partial<EventBatch> = {}): EventBatch => ({
    source: "R2_STORAGE",
    epoch: "e",
    after: 0,
    events: [{ ...recordedEvent("QUEUE_PAUSED", "INFO", {}, 0), seq: 1 }],
    ...change,
  });

  test("is the same event of another epoch, but not of the same", async () => {
    expect(await system().takeEvents(batch())).toMatchObject({ taken: 1 });
    expect(await system().takeEvents(batch())).toMatchObject({ taken: 1 });
    expect(await system().takeEvents(batch({ epoch: "f" }))).toMatchObject({ taken: 1 });
    expect(await system().takeEvents(batch({ source: "OTHER" }))).toMatchObject({ taken: 1 });
    expect(await feed()).toHaveLength(3);
  });

  test("says what was lost where its source does not hold it any more", async () => {
    await system().takeEvents(batch());
    const late = { ...recordedEvent("QUEUE_RESUMED", "INFO", {}, 0), seq: 5 };
    expect(await system().takeEvents(batch({ after: 1, events: [late] }))).toMatchObject({ taken: 5 });
    const [, lost, taken] = await feed();
    expect(lost).toMatchObject({ event_type: "EVENTS_LOST", event_data: { source: "R2_STORAGE", from: 2, to: 4 } });
    expect(taken).toMatchObject({ event_type: "QUEUE_RESUMED", seq: 3 });
  });

  test("is all but an event of a release that it does not know: that one stops no other", async () => {
    const events = [
      { ...recordedEvent("QUEUE_PAUSED", "INFO", {}, 0), seq: 1 },
      { ...recordedEvent("QUEUE_PAUSED", "INFO", {}, 0), event_type: "OF_THE_FUTURE", seq: 2 },
      { ...recordedEvent("QUEUE_RESUMED", "INFO", {}, 0), seq: 3 },
    ] as EventBatch["events"];
    expect(await system().takeEvents(batch({ events }))).toMatchObject({ taken: 3 });
    expect((await feed()).map(({ seq, event_type }) => [seq, event_type])).toEqual([
      [1, "QUEUE_PAUSED"],
      [2, "QUEUE_RESUMED"],
    ]);
  });
});
