/**
 * When an isolate reports. A report carries its counts to the ServiceDO and brings the next snapshot back.
 *
 * - Calm: when the lease runs out, or `reportAfterOutcomes` are held. Nothing else, so most requests make no call.
 * - Prompted: by the first failure in a lease, and by each change of its own circuits; within 200 ms, jittered. Where
 *   many isolates are at work only a sample of them does so, and the rest wait for their lease: so the budget holds.
 *   While the snapshot shows an open circuit there is nothing new to tell, the lease is short, and nothing prompts.
 * - In flight: none, until the answer, or until 5 s have passed: a cancelled request must not wedge the isolate.
 * - Failed: again after a pause that doubles from 0.5 s to 5 s, jittered.
 */
import type { Snapshot } from "../shared/protocol";
import { type Counters, createCounters } from "./counters";
import { CALM_LEASE_MS } from "./snapshot";

export { type Counters, count, createCounters, putBack, take } from "./counters";

const PROMPT_JITTER_MS = 200;
/** Prompted reports of one moment are never fewer than about these: two must agree. */
const FEWEST_PROMPTED = 10;
const IN_FLIGHT_MS = 5_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;

export interface Reporter {
  readonly counters: Counters;
  /** When the report of the latest answer was sent, and until when its snapshot is good. 0: there was none yet. */
  leasedAt: number;
  leaseEndsAt: number;
  reportAfterOutcomes: number;
  /** When the prompted report is due; null: none is. */
  promptedAt: number | null;
  /** Until then a failure prompts nothing more. */
  failurePromptedUntil: number;
  inFlightSince: number | null;
  /** Reports that failed since the last one that was answered. */
  failedReports: number;
  pausedUntil: number;
}

export function createReporter(): Reporter {
  return {
    counters: createCounters(),
    leasedAt: 0,
    leaseEndsAt: 0,
    reportAfterOutcomes: Number.POSITIVE_INFINITY,
    promptedAt: null,
    failurePromptedUntil: 0,
    inFlightSince: null,
    failedReports: 0,
    pausedUntil: 0,
  };
}

/** Whether to report now. If so: `take` the counts and call `reportSent` in the same turn. */
export function reportDue(reporter: Reporter, now: number): boolean {
  const { promptedAt, inFlightSince } = reporter;
  if (inFlightSince !== null && Math.abs(now - inFlightSince) < IN_FLIGHT_MS) return false;
  if (now < reporter.pausedUntil) return false;
  return (
    now >= reporter.leaseEndsAt ||
    reporter.counters.held >= reporter.reportAfterOutcomes ||
    (promptedAt !== null && now >= promptedAt)
  );
}

/**
 * Asks for an early report, because of a failure or because one of the isolate's own circuits changed its state.
 * `promptedAt` then says when it is due.
 */
export function prompt(
  reporter: Reporter,
  cause: "failure" | "state_change",
  snapshot: Snapshot,
  now: number,
  random: () => number,
): void {
  if (reporter.promptedAt !== null || isOpenShown(snapshot)) return;
  if (cause === "failure") {
    if (now < reporter.failurePromptedUntil) return;
    reporter.failurePromptedUntil = now + snapshot.leaseMs;
  }
  if (random() < promptedShare(snapshot)) reporter.promptedAt = now + random() * PROMPT_JITTER_MS;
}

/** What happens from now on is not in this report: it may prompt the next one. */
export function reportSent(reporter: Reporter, now: number): void {
  reporter.inFlightSince = now;
  reporter.promptedAt = null;
}

/** The lease counts from when the report was sent. An answer that a later one has overtaken changes nothing. */
export function reportAnswered(reporter: Reporter, sentAt: number, snapshot: Snapshot): void {
  if (reporter.inFlightSince === sentAt) reporter.inFlightSince = null;
  if (sentAt < reporter.leasedAt) return;
  reporter.leasedAt = sentAt;
  reporter.leaseEndsAt = sentAt + snapshot.leaseMs;
  reporter.reportAfterOutcomes = snapshot.reportAfterOutcomes;
  reporter.failedReports = 0;
  reporter.pausedUntil = 0;
}

/** The report is due again after the pause. Its counts go back by `putBack`. */
export function reportFailed(reporter: Reporter, sentAt: number, now: number, random: () => number): void {
  if (reporter.inFlightSince === sentAt) reporter.inFlightSince = null;
  const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** reporter.failedReports, LONGEST_PAUSE_MS);
  reporter.failedReports += 1;
  reporter.pausedUntil = now + pauseMs * (0.5 + 0.5 * random());
  reporter.promptedAt = reporter.pausedUntil;
}

function isOpenShown(snapshot: Snapshot): boolean {
  const { read, write } = snapshot.circuits;
  return read.state === "OPEN" || write.state === "OPEN";
}

/** The share of isolates that report when prompted: within one jitter, as many as the budget allows. */
function promptedShare(snapshot: Snapshot): number {
  const budgetPerS = snapshot.config.service.report_budget_per_s;
  // An object that does not tell how many isolates there are shows it by a lease that it had to stretch.
  const stretched = snapshot.leaseMs > CALM_LEASE_MS ? (snapshot.leaseMs * budgetPerS) / 1_000 : 1;
  const isolates = snapshot.activeIsolates ?? stretched;
  return Math.max(FEWEST_PROMPTED, (budgetPerS * PROMPT_JITTER_MS) / 1_000) / isolates;
}
