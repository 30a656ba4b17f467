/** Keeps fresh what an isolate knows of a service: reports out, snapshots in. */
import { waitUntil } from "cloudflare:workers";
import { stateAt } from "../circuit/circuit";
import { putBack, reportAnswered, reportDue, reportFailed, reportSent, take } from "../circuit/reporter";
import type { FailoverEnv } from "../shared/env";
import { FailoverError } from "../shared/errors";
import { type IsolateReport, NO_FAILOVERS, type OperationClass, type Snapshot } from "../shared/protocol";
import { within } from "../shared/within";
import { mayAdmit } from "./admission";
import { createIsolateState, type IsolateState, isTrusted, knownShards, takeSnapshot } from "./isolate-state";
import { queueStub, serviceStub } from "./stubs";

const REPORT_TIMEOUT_MS = 5_000;
const LAYOUT_TIMEOUT_MS = 2_000;
const POLL_MS = 5;

/** How long a call waits for a snapshot that it cannot do without; then it goes on with what is known. */
const FIRST_SNAPSHOT_WAIT_MS = 50;
const IDLE_WRITE_WAIT_MS = 1_000;
/** A read that R2 will not take by what is known has 50 ms in all, of which its shard may need some. */
const REJECTED_READ_WAIT_MS = 20;

const isolates = new Map<string, IsolateState>();

/** What this isolate keeps of the service. */
export function isolateState(service: string): IsolateState {
  let state = isolates.get(service);
  if (state === undefined) {
    state = createIsolateState(service);
    isolates.set(service, state);
  }
  return state;
}

/** Forgets everything, as a new isolate would. */
export function resetIsolate(): void {
  isolates.clear();
}

/** Takes in a snapshot that came with another answer, so that it acts here at once. */
export function adoptSnapshot(snapshot: Snapshot): void {
  takeSnapshot(isolateState(snapshot.service), snapshot, Date.now());
}

/** Reports and refreshes now. False: the ServiceDO did not answer, and what is known stays. */
export function refreshNow(env: FailoverEnv, service: string): Promise<boolean> {
  return report(env, isolateState(service));
}

/**
 * The number of the service's shards: of the snapshot, else from shard 0, which knows once the service was used. Throws
 * `SERVICE_UNAVAILABLE` when nobody tells.
 */
export async function shardCount(env: FailoverEnv, service: string): Promise<number> {
  const state = isolateState(service);
  let known = knownShards(state);
  if (known !== null) return known;
  // Whoever has sent a report has waited for it already.
  if (state.reporter.inFlightSince === null) await freshen(env, state, "read");
  known = knownShards(state);
  if (known !== null) return known;
  const answers = [othersReport(state, Date.now() + LAYOUT_TIMEOUT_MS), layoutShards(env, state)];
  for (const some of [Promise.race(answers), Promise.all(answers)]) {
    await some;
    known = knownShards(state);
    if (known !== null) return known;
  }
  throw new FailoverError("SERVICE_UNAVAILABLE", "The queue's layout is not known yet.", { retryAfter: 2 });
}

/** Learns nothing when shard 0 does not know, or does not answer. */
async function layoutShards(env: FailoverEnv, state: IsolateState): Promise<void> {
  const late = () => new Error(`no answer from shard 0 within ${LAYOUT_TIMEOUT_MS} ms`);
  try {
    const layout = await within(queueStub(env, state.service, 0).layout(), LAYOUT_TIMEOUT_MS, late);
    state.layoutShards = layout?.shardCount ?? null;
  } catch {
    // The ServiceDO may still tell.
  }
}

/** Sends a report in the background when one is due. Costs nothing when none is. */
export function reportIfDue(env: FailoverEnv, state: IsolateState): void {
  if (reportDue(state.reporter, Date.now())) waitUntil(report(env, state));
}

/** Sends the report that a failure has prompted, when its jitter has passed. */
export function reportSoon(env: FailoverEnv, state: IsolateState): void {
  const { promptedAt } = state.reporter;
  if (promptedAt === null) return;
  const send = async () => {
    await delay(Math.max(0, promptedAt - Date.now()) + 1);
    if (reportDue(state.reporter, Date.now())) await report(env, state);
  };
  waitUntil(send());
}

/**
 * Sees to it that there is a snapshot to decide by, and waits only where a stale one would decide badly: in a cold
 * isolate, in one that was idle past the cap, and for a call that an expired view of the circuit would reject.
 */
export async function freshen(env: FailoverEnv, state: IsolateState, operationClass: OperationClass): Promise<void> {
  const now = Date.now();
  const isDue = reportDue(state.reporter, now);
  const reported = isDue ? report(env, state) : null;
  if (reported !== null) waitUntil(reported);
  const hasTrust = isTrusted(state, now);
  if (hasTrust && (!isDue || state.snapshot?.circuits[operationClass].state === "CLOSED")) return;
  // A ServiceDO that did not answer the last time is not waited for: in its outage every call would.
  if (state.reporter.failedReports > 0) return;
  const waitMs = waitFor(state, operationClass, hasTrust, now);
  await (reported === null ? othersReport(state, now + waitMs) : Promise.race([reported, delay(waitMs)]));
}

function waitFor(state: IsolateState, operationClass: OperationClass, hasTrust: boolean, now: number): number {
  if (operationClass === "read") {
    return mayAdmit(state, "read", now) ? FIRST_SNAPSHOT_WAIT_MS : REJECTED_READ_WAIT_MS;
  }
  // A write that finds no snapshot within the cap is queued: worth a longer wait than a read, which only asks the queue.
  return state.snapshot !== null && !hasTrust ? IDLE_WRITE_WAIT_MS : FIRST_SNAPSHOT_WAIT_MS;
}

/** Waits for a report on its way. Its promise may be another request's, not ours to await: that may be cancelled. */
async function othersReport(state: IsolateState, until: number): Promise<void> {
  for (;;) {
    const now = Date.now();
    if (now >= until || isTrusted(state, now) || state.reporter.inFlightSince === null) return;
    await delay(POLL_MS);
  }
}

/** Whether `freshen` has anything to do. */
export function isStale(state: IsolateState, now: number): boolean {
  return now >= state.reporter.leaseEndsAt;
}

async function report(env: FailoverEnv, state: IsolateState): Promise<boolean> {
  const sentAt = Date.now();
  const sent = takeReport(state, sentAt);
  reportSent(state.reporter, sentAt);
  try {
    const late = () => new Error(`no answer from the ServiceDO within ${REPORT_TIMEOUT_MS} ms`);
    const snapshot = await within(serviceStub(env, state.service).report(sent), REPORT_TIMEOUT_MS, late);
    takeSnapshot(state, snapshot, Date.now());
    reportAnswered(state.reporter, sentAt, snapshot);
    return true;
  } catch {
    returnReport(state, sent);
    reportFailed(state.reporter, sentAt, Date.now(), Math.random);
    return false;
  }
}

function takeReport(state: IsolateState, now: number): IsolateReport {
  const bucketCalls = { ...state.bucketCalls };
  const { rejected, failovers } = state;
  state.bucketCalls = {};
  state.id ??= crypto.randomUUID();
  state.rejected = { read: 0, write: 0 };
  state.failovers = { ...NO_FAILOVERS };
  return {
    reporter: state.id,
    counts: take(state.reporter.counters),
    circuits: { read: stateAt(state.circuits.read, now), write: stateAt(state.circuits.write, now) },
    bucketCalls,
    rejected,
    failedReports: state.reporter.failedReports,
    failovers,
  };
}

function returnReport(state: IsolateState, sent: IsolateReport): void {
  putBack(state.reporter.counters, { ...sent.counts });
  for (const [method, calls] of Object.entries(sent.bucketCalls) as [keyof IsolateReport["bucketCalls"], number][]) {
    state.bucketCalls[method] = (state.bucketCalls[method] ?? 0) + calls;
  }
  state.rejected.read += sent.rejected.read;
  state.rejected.write += sent.rejected.write;
  const { queuedWrites, queuedReads, cachedReads } = sent.failovers ?? NO_FAILOVERS;
  state.failovers.queuedWrites += queuedWrites;
  state.failovers.queuedReads += queuedReads;
  state.failovers.cachedReads += cachedReads;
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
