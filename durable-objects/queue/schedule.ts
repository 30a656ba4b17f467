/** When is an operation looked at next? Pure: rows, clock and chance in, times out. */
import type { OutstandingCall } from "./call-store";

/**
 * One step of priority is worth this much waiting, ms: an operation of priority 10 is overtaken by those of priority 1
 * that come within 90 s after it, and by none that come later. A score that only grows starves nobody.
 */
export const PRIORITY_STEP_MS = 10_000;

/** The order across keys: smaller goes first. */
export function score(readyAt: number, priority: number): number {
  return readyAt + priority * PRIORITY_STEP_MS;
}

const MAX_BACKOFF_MS = 300_000;

/** Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015). `failures` ≥ 1. */
export function backoffMs(failures: number, baseMs: number, random: () => number): number {
  const ceiling = Math.min(MAX_BACKOFF_MS, baseMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(random() * ceiling);
}

export interface FailureHistory {
  readonly retry_count: number;
  readonly uncharged_at: number | null;
}

/**
 * A failure is charged to its operation only when something else has succeeded since: else the service was to blame,
 * and the operation has waited for free. `evidenceAt` is the latest success of a probe or another key, or null.
 */
export function isChargeable(row: FailureHistory, evidenceAt: number | null): boolean {
  return row.uncharged_at !== null && evidenceAt !== null && evidenceAt > row.uncharged_at;
}

/** The first try and `maxRetries` retries may be charged; one more makes a dead letter. */
export function isExhausted(chargedFailures: number, maxRetries: number): boolean {
  return chargedFailures > maxRetries;
}

/**
 * Until when the calls that may yet land keep an operation from being applied; 0 when none does. Its own calls do not
 * count: those are looked for in R2 first.
 */
export function blockedUntil(calls: readonly OutstandingCall[], operationId: string, now: number): number {
  let until = 0;
  for (const call of calls) {
    if (call.until > now && call.operation_id !== operationId) until = Math.max(until, call.until);
  }
  return until;
}

/** Until when its own earlier calls may yet land; 0 when none can. */
export function ownCallUntil(calls: readonly OutstandingCall[], operationId: string, now: number): number {
  let until = 0;
  for (const call of calls) {
    if (call.until > now && call.operation_id === operationId) until = Math.max(until, call.until);
  }
  return until;
}

export interface Agenda {
  readonly hasReady: boolean;
  /** The drain may not ask or try before this. */
  readonly holdUntil: number;
  readonly nextDue: number | null;
  /** R2 is to be told of an aborted upload. Held as operations are. */
  readonly nextAbort: number | null;
  /** An upload that nobody has completed is let go. */
  readonly nextUploadEnd: number | null;
  readonly nextCallEnd: number | null;
  readonly oldestFinal: number | null;
  readonly retentionMs: number;
  readonly hasPayloadsToFree: boolean;
  /** A notice, a calm, an event or a usage report waits to be sent at this time. */
  readonly nextMessage: number | null;
  /** The longest wait between looks while operations are ready. */
  readonly processingIntervalMs: number;
}

/** The ends of calls are looked at together: whoever waits for one is scheduled at it anyway. */
const COALESCE_MS = 1_000;
const FREE_INTERVAL_MS = 50;

/** The next alarm, derived from the rows alone; null when there is nothing to do. */
export function nextAlarm(agenda: Agenda, now: number): number | null {
  const times = [
    agenda.hasReady ? Math.min(Math.max(agenda.holdUntil, now), now + agenda.processingIntervalMs) : null,
    agenda.nextDue,
    agenda.nextAbort === null ? null : Math.max(agenda.nextAbort, agenda.holdUntil),
    agenda.nextUploadEnd,
    agenda.nextCallEnd === null ? null : agenda.nextCallEnd + COALESCE_MS,
    agenda.oldestFinal === null ? null : agenda.oldestFinal + agenda.retentionMs,
    agenda.hasPayloadsToFree ? now + FREE_INTERVAL_MS : null,
    agenda.nextMessage,
  ].filter((time): time is number => time !== null);
  return times.length === 0 ? null : Math.max(now, Math.min(...times));
}
