/** The forms in which others see a service's past. Pure. */
import { addHistogram, emptyHistogram, percentile } from "../../src/shared/latency";
import { OPERATION_CLASSES, type OperationClass } from "../../src/shared/protocol";
import type {
  AvailabilityRecord,
  ClassRollupRecord,
  PercentilesRecord,
  ServiceHistoryRecord,
} from "../../src/shared/records";
import { type ClassTally, isEmptyClass, type Tally } from "./tally";

/** The periods of a service's overview, hours. */
const PERIODS = { "1h": 1, "24h": 24, "7d": 168, "30d": 720, "90d": 2_160 } as const;

export interface HistoryFacts {
  /** By when they began: those of the last hour. */
  readonly minutes: ReadonlyMap<number, Tally>;
  readonly availability: (hours: number) => AvailabilityRecord;
  readonly gapMs: number;
}

export function historyRecord({ minutes, availability, gapMs }: HistoryFacts): ServiceHistoryRecord {
  const short = (hours: number) => {
    const { time_based, request_based } = availability(hours);
    return { time_based, request_based };
  };
  return {
    percentiles: { read: overall(minutes, "read"), write: overall(minutes, "write") },
    rollups: [...minutes]
      .filter(([, tally]) => OPERATION_CLASSES.some((c) => !isEmptyClass(tally[c])))
      .sort(([a], [b]) => b - a)
      .map(([startedAt, { read, write }]) => ({
        started_at: new Date(startedAt).toISOString(),
        read: rollup(read),
        write: rollup(write),
      })),
    availability: {
      "1h": short(PERIODS["1h"]),
      "24h": short(PERIODS["24h"]),
      "7d": short(PERIODS["7d"]),
      "30d": short(PERIODS["30d"]),
      "90d": short(PERIODS["90d"]),
    },
    metrics_gap_ms: gapMs,
  };
}

function percentiles(latency: readonly number[]): PercentilesRecord {
  const at = (share: number) => {
    const ms = percentile(latency, share);
    return ms === null ? null : Math.round(ms * 100) / 100;
  };
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

function overall(minutes: ReadonlyMap<number, Tally>, operationClass: OperationClass): PercentilesRecord {
  const latency = emptyHistogram();
  for (const tally of minutes.values()) addHistogram(latency, tally[operationClass].latency);
  return percentiles(latency);
}

function rollup({ latency, ...counts }: ClassTally): ClassRollupRecord {
  return { ...counts, ...percentiles(latency) };
}
