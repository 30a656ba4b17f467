/** How full the queue of a service is, in marks, and which of them it has just passed. Pure. */
import type { EffectiveConfig } from "../../src/shared/config";
import type { ShardUsage } from "../../src/shared/protocol";
import type { EventType, Severity } from "../../src/shared/records";

export const QUEUE_FILLS = ["empty", "some", "half", "most", "full"] as const;
export type QueueFill = (typeof QUEUE_FILLS)[number];

export interface Milestone {
  readonly type: EventType;
  readonly severity: Severity;
}

/** From which share of the bound on, percent. */
const MARKS = { half: 50, most: 80, full: 100 } as const;
/** A mark has been left when the queue is by so many points below it: around a mark it is passed once. */
const SLACK = 10;

const PASSED: Readonly<Record<keyof typeof MARKS, Milestone>> = {
  half: { type: "QUEUE_HALF_FULL", severity: "INFO" },
  most: { type: "QUEUE_NEARLY_FULL", severity: "WARNING" },
  full: { type: "QUEUE_FULL", severity: "ERROR" },
};

/** The larger share of the two bounds that is used, percent. */
export function filledPercent(usage: ShardUsage, { queue }: Pick<EffectiveConfig, "queue">): number {
  const share = (used: number, bound: number) => (bound === 0 ? (used > 0 ? 100 : 0) : (used / bound) * 100);
  const bySize = queue.max_queue_size === 0 ? 0 : share(usage.pending + usage.processing, queue.max_queue_size);
  return Math.max(bySize, share(usage.bytes, queue.max_queue_bytes));
}

export function nextFill(held: QueueFill, operations: number, percent: number): QueueFill {
  if (operations === 0) return "empty";
  const reached = (["full", "most", "half"] as const).find((mark) => {
    const wasReached = QUEUE_FILLS.indexOf(held) >= QUEUE_FILLS.indexOf(mark);
    return percent >= MARKS[mark] - (wasReached ? SLACK : 0);
  });
  return reached ?? "some";
}

/** What is worth an event on the way from one to the other; of several marks passed at once, the highest. */
export function milestones(from: QueueFill, to: QueueFill): Milestone[] {
  if (from === to) return [];
  if (to === "empty") return [{ type: "QUEUE_DRAINED", severity: "INFO" }];
  const first: Milestone[] = from === "empty" ? [{ type: "QUEUE_FIRST_QUEUED", severity: "WARNING" }] : [];
  const hasRisen = QUEUE_FILLS.indexOf(to) > QUEUE_FILLS.indexOf(from);
  return to === "some" || !hasRisen ? first : [...first, PASSED[to]];
}
