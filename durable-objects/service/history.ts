import { OPERATION_CLASSES, type OperationClass } from "../../src/shared/protocol";
import type { AvailabilityRecord, IncidentRecord, ServiceHistoryRecord } from "../../src/shared/records";
import { availabilityRecord, type ServedCounts } from "./availability";
import { HistoryStore } from "./history-store";
import { historyRecord } from "./history-views";
import { type Condition, type Incident, incidentRecord, nextIncident } from "./incidents";
import { addTally, emptyTally, isEmptyClass, type Tally } from "./tally";
import { isSameState, type KnownState, overlapMs, type Span, spansOf } from "./timeline";

/** What an eviction can lose. */
export const FLUSH_MS = 10_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MINUTES_KEPT_MS = 48 * HOUR_MS;
const HOURS_KEPT_MS = 90 * DAY_MS;

/** Longer than a probe may take. */
const SILENCE_MARGIN_MS = 40_000;

/** Nothing heard for longer than two probes, and it is not known how the service was. */
export function longestSilenceMs(healthCheckIntervalMs: number): number {
  return 2 * healthCheckIntervalMs + SILENCE_MARGIN_MS;
}

/**
 * What is remembered of a service: its calls by minute and hour, and its states.
 *
 * Calls are counted in memory and stored every 10 s. That something is in memory is stored when the first of it comes
 * in, so an object that died with it knows so, and says from when to when counts are missing. States are stored as they
 * change. Time in which neither a call nor a probe was heard of is time of which nothing is known.
 */
export class History {
  readonly #store: HistoryStore;
  /** Not stored yet, by minute. */
  readonly #pending = new Map<number, Tally>();
  #dirtySince: number | null = null;
  #observedAt: number;
  #hasNews = false;
  #state: KnownState | null;
  #sweptAt = 0;
  #incident: Incident | null;
  /** What was seen of the incident since it was stored: the rest of it comes with the next flush. */
  #isIncidentStored = true;

  constructor(
    sql: SqlStorage,
    private readonly service: string,
    now: number,
  ) {
    this.#store = new HistoryStore(sql);
    const held = this.#store.observation();
    this.#observedAt = held?.observedAt ?? now;
    this.#state = this.#store.lastState();
    this.#incident = this.#store.incidents(1)[0] ?? null;
    if (held === null) this.#store.addState({ startedAt: now, state: null });
    if (held === null || held.dirtySince !== null) this.#save();
    if (held !== null && held.dirtySince !== null) {
      this.#store.addGap(held.dirtySince, Math.max(held.dirtySince, Math.min(now, held.dirtySince + FLUSH_MS)));
    }
  }

  // ── taking in ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Calls that a reporter made. */
  count(tally: Tally, now: number): void {
    if (OPERATION_CLASSES.every((c) => isEmptyClass(tally[c]))) return;
    this.#hasNews = true;
    const minute = floor(now, MINUTE_MS);
    const held = this.#pending.get(minute);
    if (held === undefined) this.#pending.set(minute, tally);
    else addTally(held, tally);
    if (this.#dirtySince !== null) return;
    this.#dirtySince = now;
    this.#save();
  }

  /** A probe has ended. */
  probed(): void {
    this.#hasNews = true;
  }

  /** The service as it is now. Call it after everything that is taken in. */
  look(state: KnownState, silenceMs: number, now: number): void {
    const hasChanged = !isSameState(this.#state, state);
    // A new service is not known before somebody has called or probed it.
    if (!this.#hasNews && (!hasChanged || this.#state === null)) return;
    const wasSilent = this.#state !== null && now - this.#observedAt > silenceMs;
    if (wasSilent) this.#store.addState({ startedAt: this.#observedAt, state: null });
    this.#observedAt = now;
    this.#hasNews = false;
    if (!hasChanged && !wasSilent) return;
    this.#store.addState({ startedAt: now, state });
    this.#state = state;
    this.#save();
  }

  get hasIncident(): boolean {
    return this.#incident !== null && this.#incident.closedAt === null;
  }

  /** Opens, follows and closes the incident. */
  judge(condition: Condition, now: number): void {
    const held = this.#incident;
    const next = nextIncident(held, condition, now, () => crypto.randomUUID());
    if (next === held || next === null) return;
    this.#incident = next;
    this.#isIncidentStored = false;
    if (next.id !== held?.id || next.closedAt !== held.closedAt) this.#saveIncident();
  }

  #saveIncident(): void {
    if (this.#incident !== null && !this.#isIncidentStored) this.#store.saveIncident(this.#incident);
    this.#isIncidentStored = true;
  }

  /** When `flush` is due; null: nothing is to be stored. */
  get flushAt(): number | null {
    return this.#dirtySince === null ? null : this.#dirtySince + FLUSH_MS;
  }

  flush(now: number): void {
    for (const [minute, tally] of this.#pending) {
      for (const operationClass of OPERATION_CLASSES) {
        const counts = tally[operationClass];
        if (isEmptyClass(counts)) continue;
        this.#store.addRollup("minute", minute, operationClass, counts);
        this.#store.addRollup("hour", floor(minute, HOUR_MS), operationClass, counts);
        this.#store.addRollup("total", 0, operationClass, counts);
      }
    }
    this.#pending.clear();
    this.#saveIncident();
    this.#dirtySince = null;
    this.#save();
    this.#sweep(now);
  }

  #save(): void {
    this.#store.saveObservation({ dirtySince: this.#dirtySince, observedAt: this.#observedAt });
  }

  #sweep(now: number): void {
    if (now - this.#sweptAt < HOUR_MS) return;
    this.#sweptAt = now;
    this.#store.sweepRollups("minute", floor(now - MINUTES_KEPT_MS, MINUTE_MS));
    this.#store.sweepRollups("hour", floor(now - HOURS_KEPT_MS, HOUR_MS));
    this.#store.sweepIncidents(now - HOURS_KEPT_MS);
    this.#store.sweepGaps(now - HOURS_KEPT_MS);
    this.#store.sweepStates(now - HOURS_KEPT_MS);
  }

  // ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Since the service was first used, stored or not. */
  totals(): Tally {
    const sum = emptyTally();
    for (const tally of this.#store.rollups("total", 0).values()) addTally(sum, tally);
    for (const tally of this.#pending.values()) addTally(sum, tally);
    return sum;
  }

  /** Of the last `hours`. Calls are counted by whole minutes, in periods beyond two days by whole hours. */
  availability(hours: number, silenceMs: number, now: number): AvailabilityRecord {
    const from = now - hours * HOUR_MS;
    return availabilityRecord({
      service: this.service,
      hours,
      from,
      to: now,
      spans: this.#spans(from, now, silenceMs, now),
      spansBefore: this.#spans(from - hours * HOUR_MS, from, silenceMs, now),
      counts: this.#served(from, hours),
      gaps: this.#store.gaps(from),
    });
  }

  record(silenceMs: number, now: number): ServiceHistoryRecord {
    const minutes = this.#store.rollups("minute", floor(now - HOUR_MS, MINUTE_MS) + MINUTE_MS);
    for (const [minute, tally] of this.#pending) {
      const sum = emptyTally();
      addTally(sum, tally);
      addTally(sum, minutes.get(minute) ?? emptyTally());
      minutes.set(minute, sum);
    }
    return historyRecord({
      minutes,
      availability: (hours) => this.availability(hours, silenceMs, now),
      gapMs: overlapMs(this.#store.gaps(now - DAY_MS), now - DAY_MS, now),
    });
  }

  /** Newest first. */
  incidents(limit: number): IncidentRecord[] {
    this.#saveIncident();
    return this.#store.incidents(limit).map((incident) => incidentRecord(this.service, incident));
  }

  #spans(from: number, to: number, silenceMs: number, now: number): Span[] {
    const knownUntil = now - this.#observedAt > silenceMs ? this.#observedAt : now;
    return spansOf(this.#store.statesSince(from), from, to, knownUntil);
  }

  #served(from: number, hours: number): Record<OperationClass, ServedCounts> {
    const [span, spanMs] =
      hours * HOUR_MS <= MINUTES_KEPT_MS ? (["minute", MINUTE_MS] as const) : (["hour", HOUR_MS] as const);
    const counts = this.#store.served(span, floor(from, spanMs));
    for (const [minute, tally] of this.#pending) {
      if (minute < floor(from, MINUTE_MS)) continue;
      for (const c of OPERATION_CLASSES) {
        const { success, failure, rejected } = counts[c];
        const more = tally[c];
        counts[c] = {
          success: success + more.success,
          failure: failure + more.failure,
          rejected: rejected + more.rejected,
        };
      }
    }
    return counts;
  }
}

function floor(at: number, stepMs: number): number {
  return Math.floor(at / stepMs) * stepMs;
}
