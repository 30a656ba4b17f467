/** Calls counted by class: what reports add up to, in memory and in the rollups of a minute or an hour. Pure. */
import { addHistogram, emptyHistogram } from "../../src/shared/latency";
import {
  type ClassCounts,
  type IsolateReport,
  OPERATION_CLASSES,
  type OperationClass,
} from "../../src/shared/protocol";

export interface ClassTally {
  success: number;
  failure: number;
  throttled: number;
  ignored: number;
  /** Calls that an open circuit refused: they met no service, and were not served by it. */
  rejected: number;
  /** Calls per latency bucket. */
  readonly latency: number[];
}

export type Tally = Readonly<Record<OperationClass, ClassTally>>;

const COUNTED = ["success", "failure", "throttled", "ignored", "rejected"] as const;

const emptyClass = (): ClassTally => ({
  success: 0,
  failure: 0,
  throttled: 0,
  ignored: 0,
  rejected: 0,
  latency: emptyHistogram(),
});

export function emptyTally(): Tally {
  return { read: emptyClass(), write: emptyClass() };
}

export function addClass(into: ClassTally, from: ClassTally): void {
  for (const field of COUNTED) into[field] += from[field];
  addHistogram(into.latency, from.latency);
}

export function addTally(into: Tally, from: Tally): void {
  for (const operationClass of OPERATION_CLASSES) addClass(into[operationClass], from[operationClass]);
}

export function isEmptyClass(tally: ClassTally): boolean {
  return COUNTED.every((field) => tally[field] === 0);
}

export function tallyOf({ counts, rejected }: Pick<IsolateReport, "counts" | "rejected">): Tally {
  const ofClass = ({ success, failure, throttled, ignored, latency }: ClassCounts, refused: number): ClassTally => ({
    success,
    failure,
    throttled,
    ignored,
    rejected: refused,
    latency: [...latency],
  });
  return { read: ofClass(counts.read, rejected.read), write: ofClass(counts.write, rejected.write) };
}
