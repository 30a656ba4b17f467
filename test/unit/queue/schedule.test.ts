import { describe, expect, it, test } from "vitest";
import type { CallKind, OutstandingCall } from "../../../durable-objects/queue/call-store";
import {
  type Agenda,
  backoffMs,
  blockedUntil,
  isChargeable,
  isExhausted,
  nextAlarm,
  ownCallUntil,
  PRIORITY_STEP_MS,
  score,
} from "../../../durable-objects/queue/schedule";

const NOW = 1_738_829_640_000;

describe("score", () => {
  it("puts a higher priority before a lower one that came at the same time", () => {
    const byScore = [10, 1, 5].sort((a, b) => score(NOW, a) - score(NOW, b));
    expect(byScore).toEqual([1, 5, 10]);
  });

  it("keeps the order of arrival within one priority", () => {
    expect(score(NOW, 5)).toBeLessThan(score(NOW + 1, 5));
  });

  it("lets the last priority wait for at most nine steps behind the first", () => {
    const last = score(NOW, 10);
    expect(score(NOW + 9 * PRIORITY_STEP_MS - 1, 1)).toBeLessThan(last);
    expect(score(NOW + 9 * PRIORITY_STEP_MS + 1, 1)).toBeGreaterThan(last);
  });
});

describe("backoff", () => {
  const least = () => 0;
  const most = () => 1;
  test.each([
    { failures: 1, baseMs: 1_000, ceiling: 1_000 },
    { failures: 2, baseMs: 1_000, ceiling: 2_000 },
    { failures: 5, baseMs: 1_000, ceiling: 16_000 },
    { failures: 9, baseMs: 1_000, ceiling: 256_000 },
    { failures: 10, baseMs: 1_000, ceiling: 300_000 },
    { failures: 5_000, baseMs: 1_000, ceiling: 300_000 },
    { failures: 1, baseMs: 1, ceiling: 1 },
    { failures: 1, baseMs: 3_600_000, ceiling: 300_000 },
  ])("failure $failures on a base of $baseMs ms waits anything from 0 to $ceiling ms", (row) => {
    expect(backoffMs(row.failures, row.baseMs, least)).toBe(0);
    expect(backoffMs(row.failures, row.baseMs, () => 0.5)).toBe(Math.round(row.ceiling / 2));
    expect(backoffMs(row.failures, row.baseMs, most)).toBe(row.ceiling);
  });
});

describe("charging", () => {
  test.each([
    { rule: "no failure, nothing to charge", uncharged: null, evidence: NOW, charged: false },
    { rule: "nothing has ever succeeded: the service is to blame", uncharged: NOW, evidence: null, charged: false },
    { rule: "the last success was before the failure", uncharged: NOW, evidence: NOW - 1, charged: false },
    { rule: "in the same millisecond the service has the doubt", uncharged: NOW, evidence: NOW, charged: false },
    { rule: "something has succeeded since", uncharged: NOW, evidence: NOW + 1, charged: true },
  ])("$rule", ({ uncharged, evidence, charged }) => {
    expect(isChargeable({ retry_count: 0, uncharged_at: uncharged }, evidence)).toBe(charged);
  });

  test.each([
    { charged: 0, maxRetries: 0, exhausted: false },
    { charged: 1, maxRetries: 0, exhausted: true },
    { charged: 3, maxRetries: 3, exhausted: false },
    { charged: 4, maxRetries: 3, exhausted: true },
  ])("$charged charged failures of $maxRetries retries: dead $exhausted", ({ charged, maxRetries, exhausted }) => {
    expect(isExhausted(charged, maxRetries)).toBe(exhausted);
  });
});

describe("calls that may yet land", () => {
  const call = (kind: CallKind, operationId: string | null, until: number): OutstandingCall => ({
    call_id: `${kind}-${operationId}-${until}`,
    key: "k",
    kind,
    operation_id: operationId,
    until,
  });

  test.each([
    { calls: [], blocked: 0, own: 0 },
    { calls: [call("drain", "me", NOW + 5)], blocked: 0, own: NOW + 5 },
    { calls: [call("direct", "me", NOW + 5), call("drain", "me", NOW + 9)], blocked: 0, own: NOW + 9 },
    { calls: [call("direct", "other", NOW + 5)], blocked: NOW + 5, own: 0 },
    { calls: [call("direct", null, NOW + 5)], blocked: NOW + 5, own: 0 },
    { calls: [call("ticket", "other", NOW + 7)], blocked: NOW + 7, own: 0 },
    { calls: [call("ticket", "other", NOW + 7), call("direct", null, NOW + 3)], blocked: NOW + 7, own: 0 },
    { calls: [call("drain", "other", NOW), call("drain", "me", NOW)], blocked: 0, own: 0 },
  ])("case %#: others block, one's own are looked for, what is over does neither", ({ calls, blocked, own }) => {
    expect(blockedUntil(calls, "me", NOW)).toBe(blocked);
    expect(ownCallUntil(calls, "me", NOW)).toBe(own);
  });
});

describe("the next alarm", () => {
  const IDLE: Agenda = {
    hasReady: false,
    holdUntil: 0,
    nextDue: null,
    nextAbort: null,
    nextUploadEnd: null,
    nextCallEnd: null,
    oldestFinal: null,
    retentionMs: 7 * 86_400_000,
    hasPayloadsToFree: false,
    nextMessage: null,
    processingIntervalMs: 5_000,
  };

  test.each<{ rule: string; agenda: Partial<Agenda>; at: number | null }>([
    { rule: "is none when there is nothing to do", agenda: {}, at: null },
    { rule: "is none for a hold without operations", agenda: { holdUntil: NOW + 900 }, at: null },
    { rule: "is now for a ready operation", agenda: { hasReady: true }, at: NOW },
    { rule: "waits for the end of a hold", agenda: { hasReady: true, holdUntil: NOW + 900 }, at: NOW + 900 },
    {
      rule: "looks again within the processing interval however long the hold",
      agenda: { hasReady: true, holdUntil: NOW + 60_000 },
      at: NOW + 5_000,
    },
    { rule: "is when a waiting operation is due", agenda: { nextDue: NOW + 70 }, at: NOW + 70 },
    { rule: "is now for what was due long ago", agenda: { nextDue: NOW - 70 }, at: NOW },
    { rule: "is a second after the end of a call", agenda: { nextCallEnd: NOW + 10 }, at: NOW + 1_010 },
    { rule: "is at the end of retention", agenda: { oldestFinal: NOW, retentionMs: 99 }, at: NOW + 99 },
    { rule: "is when R2 is told of an aborted upload", agenda: { nextAbort: NOW + 40 }, at: NOW + 40 },
    {
      rule: "tells R2 of no aborted upload in a hold",
      agenda: { nextAbort: NOW + 40, holdUntil: NOW + 9_000 },
      at: NOW + 9_000,
    },
    {
      rule: "is when an upload is let go that nobody has completed",
      agenda: { nextUploadEnd: NOW + 50 },
      at: NOW + 50,
    },
    { rule: "frees payloads soon, but not at once", agenda: { hasPayloadsToFree: true }, at: NOW + 50 },
    { rule: "sends a message when it may be sent", agenda: { nextMessage: NOW + 30 }, at: NOW + 30 },
    {
      rule: "is the earliest of all",
      agenda: { nextDue: NOW + 70, nextMessage: NOW + 30, nextCallEnd: NOW, hasPayloadsToFree: true },
      at: NOW + 30,
    },
  ])("$rule", ({ agenda, at }) => {
    expect(nextAlarm({ ...IDLE, ...agenda }, NOW)).toBe(at);
  });
});
