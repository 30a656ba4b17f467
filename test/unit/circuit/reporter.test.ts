import { describe, expect, test } from "vitest";
import { trip, view } from "../../../src/circuit/circuit";
import {
  count,
  createReporter,
  prompt,
  type Reporter,
  reportAnswered,
  reportDue,
  reportFailed,
  reportSent,
} from "../../../src/circuit/reporter";
import type { Snapshot } from "../../../src/shared/protocol";
import { isolateCircuit, least, most, snapshotOf, T0 } from "./support";

/** A reporter whose report was sent and answered at `T0`. */
function leased(snapshot: Snapshot = snapshotOf()): Reporter {
  const reporter = createReporter();
  reportSent(reporter, T0);
  reportAnswered(reporter, T0, snapshot);
  return reporter;
}

const openView = (() => {
  const circuit = isolateCircuit();
  trip(circuit, T0, most);
  return view(circuit, T0);
})();
const withOpenWrites = snapshotOf({ circuits: { ...snapshotOf().circuits, write: openView } });

describe("a report is due", () => {
  test("at once in a cold isolate", () => {
    expect(reportDue(createReporter(), T0)).toBe(true);
  });

  test("when the lease runs out", () => {
    const reporter = leased();
    expect([reportDue(reporter, T0 + 4_999), reportDue(reporter, T0 + 5_000)]).toEqual([false, true]);
  });

  test("when the snapshot's number of outcomes is held", () => {
    const reporter = leased(snapshotOf({ reportAfterOutcomes: 3 }));
    const due = [1, 2, 3].map(() => {
      count(reporter.counters, "read", "success", 1);
      return reportDue(reporter, T0 + 1);
    });
    expect(due).toEqual([false, false, true]);
  });

  test("not for successes within the lease", () => {
    const reporter = leased();
    for (let call = 0; call < 999; call += 1) count(reporter.counters, "read", "success", 1);
    expect(reportDue(reporter, T0 + 4_999)).toBe(false);
  });
});

describe("a lease", () => {
  test("counts from when the report was sent, not from its answer", () => {
    const reporter = createReporter();
    reportSent(reporter, T0);
    reportAnswered(reporter, T0, snapshotOf({ leaseMs: 1_000 }));
    expect(reportDue(reporter, T0 + 1_000)).toBe(true);
  });

  test("is not taken from an answer that a later one has overtaken", () => {
    const reporter = createReporter();
    reportSent(reporter, T0);
    reportSent(reporter, T0 + 5_000);
    reportAnswered(reporter, T0 + 5_000, snapshotOf({ leaseMs: 1_000 }));
    reportAnswered(reporter, T0, snapshotOf({ leaseMs: 30_000 }));
    expect(reportDue(reporter, T0 + 6_000)).toBe(true);
  });
});

describe("the first failure in a lease", () => {
  test.each([
    { drawn: 0, dueMs: 0 },
    { drawn: 0.5, dueMs: 100 },
    { drawn: 0.99, dueMs: 198 },
  ])("prompts a report within 200 ms, jittered: a draw of $drawn gives $dueMs ms", ({ drawn, dueMs }) => {
    const reporter = leased();
    prompt(reporter, "failure", snapshotOf(), T0 + 10, () => drawn);
    expect(reporter.promptedAt).toBeCloseTo(T0 + 10 + dueMs, 3);
    expect([reportDue(reporter, T0 + 9 + dueMs), reportDue(reporter, T0 + 11 + dueMs)]).toEqual([false, true]);
  });

  test("is not put off by the failures that follow", () => {
    const reporter = leased();
    prompt(reporter, "failure", snapshotOf(), T0, () => 0.5);
    prompt(reporter, "failure", snapshotOf(), T0 + 90, () => 0.5);
    expect(reportDue(reporter, T0 + 100)).toBe(true);
  });

  test("is the only one: a steady trickle of failures costs one prompted report a lease", () => {
    const reporter = leased();
    let reports = 0;
    for (let now = T0; now < T0 + 50_000; now += 100) {
      prompt(reporter, "failure", snapshotOf(), now, least);
      if (!reportDue(reporter, now)) continue;
      reports += 1;
      reportSent(reporter, now);
      reportAnswered(reporter, now, snapshotOf());
    }
    expect(reports).toBe(10);
  });

  test("prompts nothing while the snapshot shows an open circuit: there is nothing new to tell", () => {
    const reporter = leased(withOpenWrites);
    prompt(reporter, "failure", withOpenWrites, T0, least);
    expect(reportDue(reporter, T0 + 200)).toBe(false);
  });
});

describe("a change of the isolate's own circuits", () => {
  test("prompts a report also after a failure of the same lease has", () => {
    const reporter = leased();
    prompt(reporter, "failure", snapshotOf(), T0, least);
    reportSent(reporter, T0);
    reportAnswered(reporter, T0, snapshotOf());
    prompt(reporter, "state_change", snapshotOf(), T0 + 50, least);
    expect(reportDue(reporter, T0 + 50)).toBe(true);
  });

  test("prompts nothing while the snapshot shows an open circuit", () => {
    const reporter = leased(withOpenWrites);
    prompt(reporter, "state_change", withOpenWrites, T0, least);
    expect(reportDue(reporter, T0 + 200)).toBe(false);
  });

  test("while a report is in flight prompts the next one", () => {
    const reporter = leased();
    reportSent(reporter, T0 + 10);
    prompt(reporter, "state_change", snapshotOf(), T0 + 20, least);
    expect(reportDue(reporter, T0 + 20)).toBe(false);
    reportAnswered(reporter, T0 + 10, snapshotOf());
    expect(reportDue(reporter, T0 + 30)).toBe(true);
  });
});

describe("where many isolates fail at once", () => {
  test.each([
    { isolates: 20, budget: 100, drawn: 0.999, prompted: true },
    { isolates: 3_000, budget: 100, drawn: 0.006, prompted: true },
    { isolates: 3_000, budget: 100, drawn: 0.007, prompted: false },
    { isolates: 3_000, budget: 1, drawn: 0.003, prompted: true },
    { isolates: 3_000, budget: 1, drawn: 0.004, prompted: false },
  ])(
    "of $isolates isolates and a budget of $budget/s, one that draws $drawn reports: $prompted",
    ({ isolates, budget, drawn, prompted }) => {
      const { config } = snapshotOf();
      const snapshot = snapshotOf({
        activeIsolates: isolates,
        config: { ...config, service: { ...config.service, report_budget_per_s: budget } },
      });
      const reporter = leased(snapshot);
      prompt(reporter, "failure", snapshot, T0, () => drawn);
      expect(reporter.promptedAt !== null).toBe(prompted);
    },
  );

  test.each([
    { rule: "a stretched lease shows how many there are", leaseMs: 30_000, prompted: false },
    { rule: "a lease of the usual length is taken for few", leaseMs: 5_000, prompted: true },
  ])("and the snapshot does not tell: $rule", ({ leaseMs, prompted }) => {
    const reporter = leased();
    prompt(reporter, "failure", snapshotOf({ leaseMs }), T0, () => 0.01);
    expect(reporter.promptedAt !== null).toBe(prompted);
  });

  test("one that was not drawn waits for its lease, however often it fails", () => {
    const snapshot = snapshotOf({ activeIsolates: 3_000 });
    const reporter = leased(snapshot);
    const draws = [0.5, 0, 0, 0].values();
    for (let failure = 0; failure < 4; failure += 1)
      prompt(reporter, "failure", snapshot, T0, () => draws.next().value ?? 0);
    expect([reportDue(reporter, T0 + 4_999), reportDue(reporter, T0 + 5_000)]).toEqual([false, true]);
  });
});

describe("while a report is in flight", () => {
  test("no other is due, until 5 s have passed: a cancelled request must not wedge the isolate", () => {
    const reporter = createReporter();
    reportSent(reporter, T0);
    expect([reportDue(reporter, T0 + 4_999), reportDue(reporter, T0 + 5_000)]).toEqual([false, true]);
  });

  test("the late end of an earlier one does not unmark it", () => {
    const reporter = createReporter();
    reportSent(reporter, T0);
    reportSent(reporter, T0 + 5_000);
    reportAnswered(reporter, T0, snapshotOf({ leaseMs: 1 }));
    expect(reportDue(reporter, T0 + 5_001)).toBe(false);
  });
});

describe("after a report that failed", () => {
  test("the pauses double up to 5 s", () => {
    const reporter = createReporter();
    const pauses = Array.from({ length: 6 }, () => {
      reportSent(reporter, T0);
      reportFailed(reporter, T0, T0, most);
      return Math.round(reporter.pausedUntil - T0);
    });
    expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 5_000, 5_000]);
  });

  test("the next is due when the pause ends, within the lease too", () => {
    const reporter = leased();
    reportSent(reporter, T0 + 100);
    reportFailed(reporter, T0 + 100, T0 + 200, least);
    expect([reportDue(reporter, T0 + 449), reportDue(reporter, T0 + 450)]).toEqual([false, true]);
  });

  test("they are counted until one is answered", () => {
    const reporter = createReporter();
    reportFailed(reporter, T0, T0, most);
    reportFailed(reporter, T0, T0, most);
    expect(reporter.failedReports).toBe(2);
    reportAnswered(reporter, T0 + 1_000, snapshotOf());
    expect(reporter.failedReports).toBe(0);
  });
});
