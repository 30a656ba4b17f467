/** The two R2 outages of 2025, replayed from their published shapes. Every expected number is worked out by hand here. */
import { describe, expect, test } from "vitest";
import type { EventRecord } from "../../../src/shared/records";
import { type Outage, replay } from "./replay-world";

/** Two hours of the clock take some ten seconds of ours; a busy machine may need more. */
const TIMEOUT = { timeout: 180_000 };
const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/** Of a status or of a circuit: when, from what, to what. */
function changes(events: readonly EventRecord[], type: string, circuit?: string): string[] {
  return events
    .filter(({ event_type, event_data }) => event_type === type && event_data.circuit === circuit)
    .map(({ created_at, event_data: { from, to } }) => `${created_at.slice(11, 23)} ${from} → ${to}`);
}

describe("2025-02-06: a cliff. All operations failed for 59 minutes, and some of them for 23 more", () => {
  const at = (time: string) => Date.parse(`2025-02-06T${time}Z`);
  const outage: Outage = {
    service: "2025-02-06",
    from: at("08:00:00"),
    to: at("10:00:00"),
    isolates: 2,
    callEveryMs: 500,
    drainPerS: 100,
    shape: (now) => {
      const share = now < at("08:14:00") ? 0 : now < at("09:13:00") ? 1 : now < at("09:36:00") ? 0.05 : 0;
      return { read: share, write: share };
    },
  };

  /**
   * Opened: probes come every 30 s from 08:00:00 on. The one of 08:14:00.0 fails, a second one 500 ms later confirms it.
   *
   * Closed: open times double from 1 s to the cap of 60 s, each times 0.5 + 0.5 × 0.5 = 0.75. So the trials are at
   * 0.5 + 0.75 + 1.5 + 3 + 6 + 12 + 24 = 47.75 s after 08:14 (the sixth), and then every 45 s: 47.75 + 45 n. The first
   * after 09:13 (3,540 s) has n = 78: 3,557.75 s, which is 09:13:17.75. A second one 200 ms later closes the circuits.
   */
  const OPENED = at("08:14:00.500");
  const CLOSED = at("09:13:17.950");
  const TRIALS = 6 + 78;

  /**
   * The ramp admits a share that grows from 0.1 to 1 over 10 s; at random = 0.5 a call passes once it is above 0.5, which
   * is 4.45 s after the close: from 09:13:22.5 on. So of the calls from 08:14:00.0 to 09:13:22.0 none was served: 3,562 s
   * in steps of 0.5 s, both ends included, are 7,125 of each class in each of two isolates.
   */
  const UNSERVED = 2 * 7_125;
  /** From 09:13:22.5 to 09:35:59.5 there are 2,715 calls, of which every twentieth fails: 135 in each isolate. */
  const LATE_FAILURES = 2 * 135;
  /** Of which until 09:15:40.0, when the queue has drained: 276 calls, 13 failures in each. */
  const QUEUED_WHILE_DRAINING = 2 * 13;
  /** Two hours, two isolates, two calls a second. */
  const CALLS = 2 * 2 * 7_200;

  test("gives the right circuits, status timeline, availability and incident", TIMEOUT, async () => {
    const { availability, incidents, events, calls } = await replay(outage);

    for (const circuit of ["read", "write"]) {
      const seen = changes(events, "CIRCUIT_STATE_CHANGED", circuit);
      expect(seen[0]).toBe("08:14:00.500 CLOSED → OPEN");
      expect(seen.at(-1)).toBe("09:13:17.950 HALF_OPEN → CLOSED");
      // Each trial but the last opens it again.
      expect(seen.filter((change) => change.endsWith("OPEN → HALF_OPEN"))).toHaveLength(TRIALS);
      expect(seen).toHaveLength(1 + TRIALS + (TRIALS - 1) + 1);
    }

    const statuses = changes(events, "SERVICE_STATUS_CHANGED");
    expect(statuses.slice(0, 4)).toEqual([
      // The shard tells of the first two writes at once, while the circuits are still closed.
      "08:14:00.000 HEALTHY → RECOVERING",
      "08:14:00.500 RECOVERING → OFFLINE",
      "09:13:17.950 OFFLINE → RECOVERING",
      // 14,276 operations at 100 a second, the first hundred at 09:13:18: it takes 143 of them.
      "09:15:40.000 RECOVERING → HEALTHY",
    ]);
    // What still failed until 09:36 was queued, and applied within a second or two.
    for (const change of statuses.slice(4))
      expect(change).toMatch(/^09:(1[5-9]|2\d|3[0-6]).* (HEALTHY|RECOVERING) → (HEALTHY|RECOVERING)$/);

    const downtime = CLOSED - OPENED;
    expect(downtime).toBe(3_557_450);
    const served = CALLS - UNSERVED - LATE_FAILURES;
    // (7,200,000 − 3,557,450) / 7,200,000, and 14,280 / 28,800.
    const figures = { time_based: 50.5909, request_based: 49.5833 };
    expect(availability).toEqual({
      service_name: outage.service,
      hours: 2,
      ...figures,
      by_class: { read: figures, write: figures },
      observed_ms: 120 * MINUTE,
      downtime_ms: downtime,
      metrics_gap_ms: 0,
      trend: null,
      intervals: [{ status: "OFFLINE", from: "2025-02-06T08:14:00.500Z", to: "2025-02-06T09:13:17.950Z" }],
    });
    expect(calls.read.success).toBe(served);
    expect(calls.write).toEqual(calls.read);
    // Each isolate's own circuit opens after five, at 08:14:02.0: the rest never reached R2, but for those of the recovery.
    expect(calls.write.failure).toBe(2 * 5 + LATE_FAILURES);

    expect(incidents).toEqual([
      {
        incident_id: expect.any(String),
        service_name: outage.service,
        opened_at: "2025-02-06T08:14:00.500Z",
        closed_at: "2025-02-06T09:15:40.000Z",
        reason: expect.stringContaining("confirmed by a probe"),
        // At 09:13:17.0, the last second before the drain: 7,115 failed or refused writes in each isolate.
        peak: { status: "OFFLINE", queue_size: 2 * 7_115, error_rate: 100 },
        // All but the first two, which were queued before it opened.
        operations_queued: UNSERVED - 2 + QUEUED_WHILE_DRAINING,
        operations_lost: 0,
      },
    ]);
  });
});

describe("2025-03-21: a slow ramp. In the end all writes and about 35 % of the reads failed, for 67 minutes", () => {
  const at = (time: string) => Date.parse(`2025-03-21T${time}Z`);
  const BEGAN = at("21:38:00");
  const ENDED = at("22:45:00");
  const RAMP = 10 * MINUTE;
  const outage: Outage = {
    service: "2025-03-21",
    from: at("21:00:00"),
    to: at("23:00:00"),
    isolates: 2,
    callEveryMs: 250,
    drainPerS: 100,
    shape: (now) => {
      const share = now < BEGAN || now >= ENDED ? 0 : Math.min(1, (now - BEGAN) / RAMP);
      return { read: 0.35 * share, write: share };
    },
  };

  test("opens the write circuit, and leaves the reads that work alone", TIMEOUT, async () => {
    const { availability, incidents, events, calls } = await replay(outage);

    // A third of the reads fail, never five in a row and never half of them: no reason to stop the others.
    expect(changes(events, "CIRCUIT_STATE_CHANGED", "read")).toEqual([]);
    expect(availability.by_class.read.time_based).toBe(100);
    const reads = 2 * 4 * 7_200;
    // Per isolate: 2,400 reads of the ramp at 17.5 % on average, 420, and 57 minutes of four a second at 35 %, 4,788.
    const failedReads = 2 * (420 + 4_788);
    expect(Math.abs(calls.read.failure - failedReads)).toBeLessThanOrEqual(4);
    expect(calls.read.rejected).toBe(0);
    const requestBased = 100 - (100 * failedReads) / reads;
    expect(Math.abs((availability.by_class.read.request_based ?? 0) - requestBased)).toBeLessThan(0.01);

    // Half of the writes fail from 21:43:00 on, and in the window of 10 s some 5 s later; isolates report every 5 s. Two
    // probes in a row, of at most four writes together, can fail as soon as more than a quarter do: from 21:40:30 on.
    const writes = events.filter(({ event_data }) => event_data.circuit === "write" && event_data.to === "OPEN");
    const opened = Date.parse(writes[0]?.created_at ?? "");
    expect(opened).toBeGreaterThanOrEqual(at("21:40:30"));
    expect(opened).toBeLessThanOrEqual(at("21:43:15"));
    // From 21:48:00 on a trial cannot succeed: it is never closed, and 45 s after the end at the latest it is tried.
    const circuit = changes(events, "CIRCUIT_STATE_CHANGED", "write");
    const closings = events.filter(({ event_data }) => event_data.circuit === "write" && event_data.to === "CLOSED");
    const closed = Date.parse(closings.at(-1)?.created_at ?? "");
    expect(
      closings.every(({ created_at }) => Date.parse(created_at) < at("21:48:00") || Date.parse(created_at) >= ENDED),
    ).toBe(true);
    expect(closed - ENDED).toBeLessThanOrEqual(45 * SECOND + 200);
    expect(circuit.at(-1)).toMatch(/HALF_OPEN → CLOSED$/);

    // One incident, never offline: what was read could be read.
    const statuses = events.filter(({ event_type }) => event_type === "SERVICE_STATUS_CHANGED");
    expect(new Set(statuses.map(({ event_data }) => event_data.to))).toEqual(
      new Set(["RECOVERING", "DEGRADED", "HEALTHY"]),
    );
    expect(availability.intervals.every(({ status }) => status === "DEGRADED")).toBe(true);
    expect(availability.downtime_ms).toBeGreaterThanOrEqual(57 * MINUTE);
    expect(availability.downtime_ms).toBeLessThanOrEqual(closed - opened);
    expect(availability.time_based).toBe(availability.by_class.write.time_based);
    expect(availability.observed_ms).toBe(120 * MINUTE);
    expect(incidents).toHaveLength(1);
    const [incident] = incidents;
    expect(incident).toMatchObject({
      opened_at: writes[0]?.created_at,
      peak: { status: "DEGRADED" },
      operations_lost: 0,
    });
    expect(Date.parse(incident?.closed_at ?? "")).toBeGreaterThan(closed);
    // Every write that R2 did not take since it opened.
    const untaken = calls.write.failure + calls.write.rejected;
    expect(incident?.operations_queued).toBeLessThanOrEqual(untaken);
    expect(incident?.operations_queued).toBeGreaterThan(57 * 60 * 4 * 2);
  });
});
