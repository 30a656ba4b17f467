import * as z from "zod";
import { type EventBatch, type EventsTaken, newEvents } from "../../src/shared/event-batch";
import { EVENT_CATEGORIES, EVENT_TYPES, type RecordedEvent, recordedEvent, SEVERITIES } from "../../src/shared/records";
import type { EventLog } from "./event-log";

const seq = z.int().min(0);
const batchSchema = z.object({
  source: z.string().min(1).max(256),
  epoch: z.string().min(1).max(64),
  after: seq,
  events: z.array(z.looseObject({ seq })).max(1_000),
});

/** What every recorded event is, whoever recorded it. */
export const eventFields = {
  event_type: z.enum(EVENT_TYPES),
  event_category: z.enum(EVENT_CATEGORIES),
  severity: z.enum(SEVERITIES),
  event_data: z.record(z.string(), z.unknown()),
  created_at: z.iso.datetime(),
};
const eventSchema = z.object(eventFields);

/**
 * Where events of other objects arrive: all SQL on the table `event_sources`. Each is taken once, in its source's order,
 * by its source, epoch and number; what was lost on the way is an event of its own.
 */
export class EventIntake {
  constructor(
    private readonly sql: SqlStorage,
    private readonly log: EventLog,
  ) {}

  /** Throws on what is no batch. An event that this release cannot read is passed over: it must not stop the others. */
  take(sent: EventBatch, service: string, now: number): EventsTaken {
    const batch = batchSchema.parse(sent);
    const { source, epoch } = batch;
    const { events, lost, taken } = newEvents(this.#taken(source, epoch), batch);
    if (lost !== null)
      this.log.append({
        ...recordedEvent("EVENTS_LOST", "WARNING", { source, ...lost }, now),
        id: `lost:${source}:${epoch}:${lost.from}`,
        service_name: service,
      });
    for (const { seq: number, ...sentEvent } of events) {
      const event = readEvent(source, sentEvent);
      if (event !== null) this.log.append({ ...event, id: `${source}:${epoch}:${number}`, service_name: service });
    }
    this.#save(source, epoch, taken);
    return { taken };
  }

  #taken(source: string, epoch: string): number {
    const query = "SELECT seq FROM event_sources WHERE source = ? AND epoch = ?";
    return this.sql.exec<{ seq: number }>(query, source, epoch).toArray()[0]?.seq ?? 0;
  }

  #save(source: string, epoch: string, taken: number): void {
    this.sql.exec(
      `INSERT INTO event_sources (source, epoch, seq) VALUES (?, ?, ?)
       ON CONFLICT (source, epoch) DO UPDATE SET seq = excluded.seq`,
      source,
      epoch,
      taken,
    );
  }
}

function readEvent(source: string, sent: unknown): RecordedEvent | null {
  const { data, error } = eventSchema.safeParse(sent);
  if (data !== undefined) return data;
  const message = "an event cannot be read";
  console.warn(
    JSON.stringify({ level: "warn", message, source, fields: error.issues.map(({ path }) => path.join(".")) }),
  );
  return null;
}
