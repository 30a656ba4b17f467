/** The arithmetic of availability, in percent. Pure. */
import { OPERATION_CLASSES, type OperationClass } from "../../src/shared/protocol";
import type { AvailabilityRecord, AvailabilityTrend, ClassAvailability } from "../../src/shared/records";
import type { ClassTally } from "./tally";
import { downtimes, isClassDown, isServiceDown, overlapMs, type Span, totalMs } from "./timeline";

export type ServedCounts = Pick<ClassTally, "success" | "failure" | "rejected">;

/** The newest intervals that one answer lists. */
const MAX_INTERVALS = 1_000;

/** Rounded down to four places: 100 is said only when nothing at all was missed. Null: of nothing. */
export function percent(part: number, whole: number): number | null {
  return whole === 0 ? null : Math.floor((part / whole) * 1_000_000) / 10_000;
}

/** Of the time in which the state was known. */
function timeBased(spans: readonly Span[], isDown: (span: Span) => boolean): number | null {
  const observed = totalMs(spans);
  return percent(observed - totalMs(spans, isDown), observed);
}

/**
 * Of the calls that asked the service for something. One that an open circuit refused was not served; throttled calls,
 * and those that were their callers' own fault, say nothing about it.
 */
export function requestBased(counts: readonly ServedCounts[]): number | null {
  const sum = (field: keyof ServedCounts) => counts.reduce((total, one) => total + one[field], 0);
  const served = sum("success");
  return percent(served, served + sum("failure") + sum("rejected"));
}

export function trendOf(now: number | null, before: number | null): AvailabilityTrend | null {
  if (now === null || before === null) return null;
  if (now === before) return "flat";
  return now > before ? "up" : "down";
}

export interface AvailabilityFacts {
  readonly service: string;
  readonly hours: number;
  readonly from: number;
  readonly to: number;
  readonly spans: readonly Span[];
  readonly spansBefore: readonly Span[];
  readonly counts: Readonly<Record<OperationClass, ServedCounts>>;
  /** Stretches whose counts were lost. */
  readonly gaps: readonly { readonly from: number; readonly to: number }[];
}

export function availabilityRecord(facts: AvailabilityFacts): AvailabilityRecord {
  const { spans, counts, from, to } = facts;
  const ofClass = (operationClass: OperationClass): ClassAvailability => ({
    time_based: timeBased(spans, isClassDown(operationClass)),
    request_based: requestBased([counts[operationClass]]),
  });
  const time = timeBased(spans, isServiceDown);
  const down = downtimes(spans);
  return {
    service_name: facts.service,
    hours: facts.hours,
    time_based: time,
    request_based: requestBased(OPERATION_CLASSES.map((c) => counts[c])),
    by_class: { read: ofClass("read"), write: ofClass("write") },
    observed_ms: totalMs(spans),
    downtime_ms: totalMs(spans, isServiceDown),
    metrics_gap_ms: overlapMs(facts.gaps, from, to),
    trend: trendOf(time, timeBased(facts.spansBefore, isServiceDown)),
    intervals: down
      .slice(-MAX_INTERVALS)
      .reverse()
      .map(({ status, from: began, to: ended }) => ({
        status,
        from: iso(began),
        to: ended === to ? null : iso(ended),
      })),
  };
}

const iso = (at: number) => new Date(at).toISOString();
