/** What was answered by the queue or the read cache, folded: the first at once, then at most one event a minute. Pure. */
import { type FailoverCounts, NO_FAILOVERS } from "../../src/shared/protocol";

const FOLD_MS = 60_000;

/** In memory only: with the object goes what was counted since the last event. */
export class FailoverFold {
  #counts: FailoverCounts = NO_FAILOVERS;
  #toldAt = Number.NEGATIVE_INFINITY;

  add(counts: FailoverCounts): void {
    this.#counts = {
      queuedWrites: this.#counts.queuedWrites + counts.queuedWrites,
      queuedReads: this.#counts.queuedReads + counts.queuedReads,
      cachedReads: this.#counts.cachedReads + counts.cachedReads,
    };
  }

  /** When there is something to tell; null: nothing was counted. */
  get dueAt(): number | null {
    const { queuedWrites, queuedReads, cachedReads } = this.#counts;
    return queuedWrites + queuedReads + cachedReads === 0 ? null : this.#toldAt + FOLD_MS;
  }

  /** The data of the event that is due, once. */
  takeDue(now: number): Record<string, number> | null {
    const { dueAt } = this;
    if (dueAt === null || now < dueAt) return null;
    const { queuedWrites, queuedReads, cachedReads } = this.#counts;
    this.#counts = NO_FAILOVERS;
    this.#toldAt = now;
    return { queued_writes: queuedWrites, queued_reads: queuedReads, cached_reads: cachedReads };
  }
}
