import { abortAllDurableObjects, reset, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FLUSH_MS, History } from "../../../durable-objects/service/history";
import { HistoryStore } from "../../../durable-objects/service/history-store";
import { tallyOf } from "../../../durable-objects/service/tally";
import type { KnownState } from "../../../durable-objects/service/timeline";
import { emptyHistogram } from "../../../src/shared/latency";
import { IDLE_USAGE } from "../../unit/service/usage";
import { BY, busy, rawService, report, reportOf, type Said, service } from "./world";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Long ago: no real alarm interferes. */
const T0 = Date.UTC(2025, 2, 21, 21, 0);
const SILENCE = 100_000;
const WELL: KnownState = { status: "HEALTHY", circuits: { read: "CLOSED", write: "CLOSED" } };
const DOWN: KnownState = { status: "DEGRADED", circuits: { read: "CLOSED", write: "OPEN" } };

afterEach(() => reset());

/** Calls of `ms` each, read. */
const calls = (success: number, failure: number, ms = 8) => {
  const latency = emptyHistogram();
  latency[ms === 8 ? 3 : 8] = success + failure;
  return tallyOf(reportOf("a", { read: { success, failure, latency } }));
};

/** The history of one object, made anew by `reborn` as after an eviction: what was in memory is gone. */
const inHistory = (run: (world: { history: () => History; reborn: (at: number) => void; sql: SqlStorage }) => void) =>
  runInDurableObject(rawService(), (_, { storage: { sql } }) => {
    for (const table of ["metric_rollups", "metric_gaps", "observation", "state_intervals"])
      sql.exec(`DELETE FROM ${table}`);
    let held = new History(sql, "S", T0);
    const reborn = (at: number) => {
      held = new History(sql, "S", at);
    };
    run({ history: () => held, reborn, sql });
  });

describe("calls of all reporters", () => {
  test("are added up by minute, class and outcome, before and after they are stored", async () => {
    await inHistory(({ history }) => {
      history().count(calls(2, 1), T0 + 1_000);
      const write: Said = { write: { success: 4, throttled: 1, ignored: 2 } };
      history().count({ ...tallyOf({ ...reportOf("b", write), rejected: { read: 0, write: 5 } }) }, T0 + 2_000);
      const expected = [
        {
          started_at: "2025-03-21T21:00:00.000Z",
          read: { success: 2, failure: 1, throttled: 0, ignored: 0, rejected: 0, p50: 7.5, p95: 9.75, p99: 9.95 },
          write: { success: 4, failure: 0, throttled: 1, ignored: 2, rejected: 5, p50: null, p95: null, p99: null },
        },
      ];
      expect(history().record(SILENCE, T0 + 3_000).rollups).toEqual(expected);
      history().flush(T0 + 3_000);
      expect(history().record(SILENCE, T0 + 3_000).rollups).toEqual(expected);
    });
  });

  test("of one minute are one rollup, however often they are stored", async () => {
    await inHistory(({ history }) => {
      for (const at of [1_000, 12_000, 59_000, 61_000]) {
        history().count(calls(1, 0), T0 + at);
        history().flush(T0 + at);
      }
      const { rollups } = history().record(SILENCE, T0 + 62_000);
      expect(rollups.map(({ started_at, read }) => [started_at, read.success])).toEqual([
        ["2025-03-21T21:01:00.000Z", 1],
        ["2025-03-21T21:00:00.000Z", 3],
      ]);
      expect(history().totals().read).toMatchObject({ success: 4, failure: 0 });
    });
  });

  test("are kept 48 hours by minute, 90 days by hour, and for good in all", async () => {
    await inHistory(({ history, sql }) => {
      history().count(calls(1, 0), T0);
      history().flush(T0);
      const rows = () =>
        sql
          .exec<{ span: string }>("SELECT span FROM metric_rollups ORDER BY span")
          .toArray()
          .map(({ span }) => span);
      history().flush(T0 + 48 * HOUR);
      expect(rows()).toEqual(["hour", "minute", "total"]);
      history().flush(T0 + 49 * HOUR);
      expect(rows()).toEqual(["hour", "total"]);
      history().flush(T0 + 90 * DAY);
      expect(rows()).toEqual(["hour", "total"]);
      history().flush(T0 + 90 * DAY + HOUR);
      expect(rows()).toEqual(["total"]);
    });
  });

  test("of 30 days are counted by hours, of two by minutes", async () => {
    await inHistory(({ history, sql }) => {
      history().count(calls(1, 1), T0);
      history().flush(T0);
      history().count(calls(2, 0), T0 + 2 * HOUR);
      history().flush(T0 + 2 * HOUR);
      const now = T0 + 3 * HOUR;
      expect(history().availability(2, SILENCE, now).request_based).toBe(100);
      expect(history().availability(24, SILENCE, now).request_based).toBe(75);
      sql.exec("DELETE FROM metric_rollups WHERE span = 'minute'");
      expect(history().availability(48, SILENCE, now).request_based).toBeNull();
      expect(history().availability(49, SILENCE, now).request_based).toBe(75);
    });
  });
});

describe("an object that ends", () => {
  test("loses at most what it counted since the last flush, and says from when to when", async () => {
    await inHistory(({ history, reborn }) => {
      history().count(calls(5, 0), T0);
      history().flush(T0 + FLUSH_MS);
      history().count(calls(7, 0), T0 + 20_000);
      reborn(T0 + 50_000);
      expect(history().totals().read.success).toBe(5);
      // It would have stored them 10 s after the first, so it ended before.
      expect(history().record(SILENCE, T0 + 50_000).metrics_gap_ms).toBe(FLUSH_MS);
      expect(history().availability(1, SILENCE, T0 + 50_000).metrics_gap_ms).toBe(FLUSH_MS);
    });
  });

  test("has lost no more than the time that it was gone", async () => {
    await inHistory(({ history, reborn }) => {
      history().count(calls(7, 0), T0);
      reborn(T0 + 3_000);
      reborn(T0 + 60_000);
      expect(history().record(SILENCE, T0 + 60_000).metrics_gap_ms).toBe(3_000);
    });
  });

  test("has lost nothing when nothing was in memory", async () => {
    await inHistory(({ history, reborn }) => {
      history().count(calls(7, 0), T0);
      history().flush(T0 + FLUSH_MS);
      reborn(T0 + 50_000);
      expect(history().record(SILENCE, T0 + 50_000).metrics_gap_ms).toBe(0);
      expect(history().totals().read.success).toBe(7);
    });
  });
});

describe("the time that is known of", () => {
  const observed = (history: History, at: number) => history.availability(24, SILENCE, at).observed_ms;

  test("begins with the first call or probe", async () => {
    await inHistory(({ history }) => {
      history().look(WELL, SILENCE, T0 + 1_000);
      expect(observed(history(), T0 + 2_000)).toBe(0);
      history().probed();
      history().look(WELL, SILENCE, T0 + 5_000);
      expect(observed(history(), T0 + 8_000)).toBe(3_000);
    });
  });

  test("leaves out a silence, also across the end of the object", async () => {
    await inHistory(({ history, reborn }) => {
      const see = (at: number) => {
        history().probed();
        history().look(WELL, SILENCE, at);
        history().flush(at);
      };
      see(T0);
      see(T0 + SILENCE);
      reborn(T0 + 500_000);
      expect(observed(history(), T0 + 500_000)).toBe(SILENCE);
      see(T0 + 600_000);
      expect(observed(history(), T0 + 601_000)).toBe(SILENCE + 1_000);
    });
  });

  test("goes on over a quiet spell that is no silence", async () => {
    await inHistory(({ history }) => {
      history().probed();
      history().look(WELL, SILENCE, T0);
      expect(observed(history(), T0 + SILENCE)).toBe(SILENCE);
      expect(observed(history(), T0 + SILENCE + 1)).toBe(0);
    });
  });

  test("is kept for 90 days, with the state in force before them", async () => {
    await inHistory(({ history, sql }) => {
      let at = T0;
      for (const state of [WELL, DOWN, WELL]) {
        history().probed();
        history().look(state, Number.POSITIVE_INFINITY, at);
        at += DAY;
      }
      history().flush(T0 + 91 * DAY);
      expect(new HistoryStore(sql).statesSince(0).map(({ startedAt }) => startedAt)).toEqual([T0 + DAY, T0 + 2 * DAY]);
      const { time_based, intervals } = history().availability(90 * 24, Number.POSITIVE_INFINITY, T0 + 91 * DAY);
      // One of ninety days.
      expect([time_based, intervals.length]).toEqual([98.8888, 1]);
    });
  });
});

describe("the object", () => {
  beforeEach(async () => {
    await service().probe();
  });

  test("counts what isolates report and not its own probes, and shows it as it is stored", async () => {
    await report("a", { read: { success: 3, latency: [3] }, write: { failure: 1 } });
    const { rollups, percentiles } = await service().history();
    expect(rollups).toMatchObject([{ read: { success: 3 }, write: { failure: 1 } }]);
    expect(percentiles).toEqual({
      read: { p50: 0.5, p95: 0.95, p99: 0.99 },
      write: { p50: null, p95: null, p99: null },
    });
    expect(await service().totals()).toMatchObject({ read: { success: 3 }, write: { success: 0, failure: 1 } });
  });

  test("stores them by itself within 10 s, by its alarm", async () => {
    await report("a", { read: { success: 3 } });
    const due = await runInDurableObject(rawService(), (_, { storage }) => storage.getAlarm());
    expect(due).toBeLessThanOrEqual(Date.now() + FLUSH_MS);
  });

  test("shows a gap for what it took with it", async () => {
    await report("a", { read: { success: 3 } });
    await new Promise((resolve) => setTimeout(resolve, 20));
    await abortAllDurableObjects();
    const { rollups, metrics_gap_ms } = await service().history();
    expect(rollups).toEqual([]);
    expect(metrics_gap_ms).toBeGreaterThan(0);
    expect(metrics_gap_ms).toBeLessThanOrEqual(FLUSH_MS);
  });

  test("has an incident from when a circuit opened until the queue has drained, with what was queued and lost", async () => {
    expect(await service().incidents(10)).toEqual([]);
    await service().setMode({ mode: "forced_open", circuits: ["write"], reason: "drill" }, BY);
    const usage = { ...IDLE_USAGE, accepted: 3, swept: 0, pending: 3, bytes: 30 };
    await service().notice(busy(2, 1, { usage }));
    await abortAllDurableObjects();
    await service().setMode({ mode: "auto", reason: "over" }, BY);
    expect(await service().incidents(10)).toMatchObject([{ closed_at: null, peak: { queue_size: 3 } }]);
    // One of the three is in no state any more.
    await service().calm({ shard: 2, epoch: 1, usage: { ...IDLE_USAGE, accepted: 3, swept: 0, completed: 2 } });
    expect(await service().incidents(10)).toMatchObject([
      {
        service_name: "R2_STORAGE",
        opened_at: expect.any(String),
        closed_at: expect.any(String),
        reason: "drill",
        peak: { status: "DEGRADED", queue_size: 3 },
        operations_queued: 3,
        operations_lost: 1,
      },
    ]);
  });

  test("says when the queue will be drained, by the rate at which it shrinks", async () => {
    const usage = (pending: number) => ({ ...IDLE_USAGE, pending, bytes: 10 * pending });
    await service().notice(busy(2, 1, { usage: usage(100) }));
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    await service().notice(busy(2, 1, { usage: usage(50) }));
    const { drainedInMs, fullInMs } = (await service().overview()).estimates;
    // 50 in the time that has passed: as long again for the other 50.
    expect(drainedInMs).toBeGreaterThanOrEqual(2_000);
    expect(fullInMs).toBeNull();
  });

  test("is down for the time in which a circuit is forced open", async () => {
    await service().setMode({ mode: "forced_open", circuits: ["write"], reason: "drill" }, BY);
    await new Promise((resolve) => setTimeout(resolve, 30));
    const { by_class, downtime_ms, intervals, observed_ms } = await service().availability(1);
    expect(by_class.read.time_based).toBe(100);
    expect(by_class.write.time_based).toBeLessThan(100);
    expect(downtime_ms).toBeGreaterThanOrEqual(29);
    expect(observed_ms).toBeGreaterThan(downtime_ms);
    expect(intervals).toMatchObject([{ status: "DEGRADED", to: null }]);
  });
});
