import { reset, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, test } from "vitest";
import { newEvent } from "../../../durable-objects/service/changes";
import { ServiceStore } from "../../../durable-objects/service/service-store";
import { rawService } from "./world";

afterEach(() => reset());

const inStore = (run: (store: ServiceStore, sql: SqlStorage) => void) =>
  runInDurableObject(rawService(), (_, { storage }) => run(new ServiceStore(storage.sql, "R2_STORAGE"), storage.sql));
const event = () => newEvent("QUEUE_PAUSED", "INFO", { n: 1 }, 0);

describe("the event table", () => {
  test("keeps the last 10,000, and goes on numbering", async () => {
    await inStore((store, sql) => {
      store.cursors.save("feed", 20_000);
      for (let n = 0; n < 10_020; n += 1) store.addEvent(event());
      const [kept] = sql.exec("SELECT COUNT(*) AS n, MIN(seq) AS low, MAX(seq) AS high FROM system_events").toArray();
      expect(kept).toEqual({ n: 10_000, low: 21, high: 10_020 });
      expect(store.events(10_019, 10).map(({ seq }) => seq)).toEqual([10_020]);
      expect(store.events(null, 2).map(({ seq }) => seq)).toEqual([10_019, 10_020]);
    });
  });

  test("keeps what the system feed has not taken yet beyond that", async () => {
    await inStore((store) => {
      for (let n = 0; n < 10_020; n += 1) store.addEvent(event());
      expect(store.log.oldest).toBe(1);
      store.cursors.save("feed", 15);
      store.addEvent(event());
      expect([store.log.oldest, store.log.head]).toEqual([16, 10_021]);
    });
  });

  test("takes an id once, also when its number is no longer the last", async () => {
    await inStore((store) => {
      const once = event();
      for (const each of [once, event(), once]) store.addEvent(each);
      expect(store.events(0, 10).map(({ seq }) => seq)).toEqual([1, 2]);
    });
  });

  test.each([
    ["the next number", "SELECT MAX(seq) FROM system_events"],
    ["the oldest number", "SELECT MIN(seq) FROM system_events"],
    ["whether an id is known", "SELECT 1 FROM system_events WHERE event_id = 'x'"],
    ["the events after a number", "SELECT event_data FROM system_events WHERE seq > 5 ORDER BY seq LIMIT 10"],
    ["what has had its time", "DELETE FROM system_events WHERE seq <= 5"],
  ])("finds %s by an index", async (_, query) => {
    await inStore((__, sql) => {
      const plan = sql.exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${query}`).toArray();
      expect(plan).not.toEqual([]);
      for (const { detail } of plan) expect(detail).toMatch(/^SEARCH system_events/);
    });
  });
});
