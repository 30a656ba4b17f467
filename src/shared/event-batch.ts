/** Events on their way from the object that recorded them to the next one, and what is new in what arrives. Pure. */
import type { EventRecord, QueueRecord, ServiceRecord } from "./records";

/** An event as its source recorded it, under the source's own number. */
export type SourcedEvent = Omit<EventRecord, "service_name">;

export interface EventBatch {
  /** A service's name, or `shard:<n>` of a service. */
  readonly source: string;
  /** Identity of the source's storage: another one counts anew. */
  readonly epoch: string;
  /** What follows are the first of all events that the source still holds after this number, in order. */
  readonly after: number;
  readonly events: readonly SourcedEvent[];
  /** The state of a service, for the subscribers of all. */
  readonly state?: WatchedState;
}

export interface WatchedState {
  readonly service: ServiceRecord;
  readonly queue: QueueRecord;
  /** By the service's clock: an older one is no news. */
  readonly asOf: number;
}

/** The number of the last event that has been taken: the source goes on after it, also when that is a step back. */
export interface EventsTaken {
  readonly taken: number;
}

/** For how long the source is to tell also of changes that are no events, ms. 0: nobody would hear of them. */
export interface FeedTaken extends EventsTaken {
  readonly watchMs: number;
}

export interface NewEvents<E> extends EventsTaken {
  readonly events: readonly E[];
  /** Numbers that the source does not hold any more. */
  readonly lost: { readonly from: number; readonly to: number } | null;
}

/**
 * What of a batch is new, when the last event taken of this source and epoch was number `taken` (0: none). A batch that
 * begins later than that is left alone: the source is told where to begin.
 */
export function newEvents<E extends { readonly seq: number }>(
  taken: number,
  batch: { readonly after: number; readonly events: readonly E[] },
): NewEvents<E> {
  const events = batch.after > taken ? [] : batch.events.filter(({ seq }) => seq > taken);
  const first = events[0]?.seq;
  return {
    events,
    lost: first === undefined || first === taken + 1 ? null : { from: taken + 1, to: first - 1 },
    taken: events.at(-1)?.seq ?? taken,
  };
}
