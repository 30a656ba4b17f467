/**
 * When an isolate reports. A report carries its counts to the ServiceDO and brings the next snapshot back.
 *
 * - Calm: when the lease runs out, or `reportAfterOutcomes` are held. Nothing else, so most requests make no call.
 * - Prompted, by the first failure since the last answer or by a change of its own circuits: within 200 ms, jittered.
 *   Where so many isolates are at work that these would break the budget, only a sample of them does so, and the rest
 *   wait for their lease. While the snapshot shows an open circuit there is nothing to tell, and no prompt.
 * - In flight: none, until the answer, or until 5 s have passed: a cancelled request must not wedge the isolate.
 * - Failed: again after a pause that doubles from 0.5 s to 5 s, jittered.
 */
import type { ServiceConfig } from "../shared/config";
import type { Snapshot } from "../shared/protocol";
import { type Counters, createCounters } from "./counters";

export { type Counters, count, createCounters, putBack, type TakenCounts, take } from "./counters";

const PROMPT_JITTER_MS = 200;
const IN_FLIGHT_MS = 5_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;

/** Prompted reports that the ServiceDO bears within one jitter; up to this many isolates all of them report. */
const PROMPTED_ISOLATES = 500;

export interface Reporter {
  readonly counters: Counters;
  /** 0: there was no snapshot yet. */
  leaseEndsAt: number;
  reportAfterOutcomes: number;
  /** When the prompted report is due; null: none is. */
  promptedAt: number | null;
  /** Whether a prompt has been given, or was not drawn in the sample, since the last answer. */
  isPromptSpent: boolean;
  inFlightSince: number | null;
  /** Reports that failed since the last one that was answered. */
  failedReports: number;
  pausedUntil: number;
}

export function createReporter(): Reporter {
  return {
    counters: createCounters(),
    leaseEndsAt: 0,
    reportAfterOutcomes: Number.POSITIVE_INFINITY,
    promptedAt: null,
    isPromptSpent: false,
    inFlightSince: null,
    failedReports: 0,
    pausedUntil: 0,
  };
}

/** Whether to report now. Take the counts and call `reportSent` in the same turn. */
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

/** Tells of a failure, or of a change of the isolate's own circuits, under the snapshot held. Only the first one since the last answer counts. */
export function prompt(reporter: Reporter, snapshot: Snapshot | null, now: number, random: () => number): void {
  if (reporter.isPromptSpent || (snapshot !== null && isOpenShown(snapshot))) return;
  reporter.isPromptSpent = true;
  const isDrawn =
    snapshot === null || random() * isolatesBehind(snapshot.leaseMs, snapshot.config.service) < PROMPTED_ISOLATES;
  if (isDrawn) reporter.promptedAt = now + random() * PROMPT_JITTER_MS;
}

export function reportSent(reporter: Reporter, now: number): void {
  reporter.inFlightSince = now;
}

/** The lease counts from when the report was sent: the answer's way back does not prolong it. */
export function reportAnswered(reporter: Reporter, sentAt: number, snapshot: Snapshot): void {
  reporter.leaseEndsAt = sentAt + snapshot.leaseMs;
  reporter.reportAfterOutcomes = snapshot.reportAfterOutcomes;
  reporter.promptedAt = null;
  reporter.isPromptSpent = false;
  reporter.inFlightSince = null;
  reporter.failedReports = 0;
  reporter.pausedUntil = 0;
}

/** The counts go back by `putBack`. */
export function reportFailed(reporter: Reporter, now: number, random: () => number): void {
  const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** reporter.failedReports, LONGEST_PAUSE_MS);
  reporter.failedReports += 1;
  reporter.inFlightSince = null;
  reporter.pausedUntil = now + pauseMs * (0.5 + 0.5 * random());
}

function isOpenShown(snapshot: Snapshot): boolean {
  const { read, write } = snapshot.circuits;
  return read.state === "OPEN" || write.state === "OPEN";
}

/** How many isolates share the budget, read off the lease that it stretches. */
function isolatesBehind(leaseMs: number, config: ServiceConfig): number {
  return (leaseMs * config.report_budget_per_s) / 1_000;
}
