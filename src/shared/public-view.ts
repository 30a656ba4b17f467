/** What is shown without a token: states, times and counts. Reasons, data, shards, keys and user ids are not. Pure. */
import type { EventRecord, ServiceRecord } from "./records";

export function publicEvent(event: EventRecord): EventRecord {
  return { ...event, event_data: {} };
}

export function publicService<S extends ServiceRecord>(service: S): S {
  return { ...service, degradation_reason: null };
}
