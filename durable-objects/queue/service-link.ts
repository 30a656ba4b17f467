import { count, createCounters, putBack, take } from "../../src/circuit/reporter";
import { DEFAULT_CONFIG, type EffectiveConfig } from "../../src/shared/config";
import type {
  BucketMethod,
  DrainGrant,
  DrainTerms,
  IsolateReport,
  OperationClass,
  Outcome,
  ShardQuota,
  ShardUsage,
  ShardView,
} from "../../src/shared/protocol";
import type { ServiceRpc } from "../../src/shared/rpc";
import { within } from "../../src/shared/within";
import { narrow, widen } from "./busy-epoch";
import { type FallbackDrain, fallbackGrant, fallbackResult, IDLE_FALLBACK } from "./fallback-drain";
import type { BusyState, MetaStore } from "./meta-store";

/** How long a call to the ServiceDO may take before we go on without it. */
const CALL_TIMEOUT_MS = 2_000;
/** How long an enqueue waits for its epoch to be confirmed; then the notice stays in the outbox. */
const CONFIRM_WAIT_MS = 1_000;
const RETRY_MS = 1_000;
/** The ServiceDO's picture of the queue is at most this old. */
const USAGE_INTERVAL_MS = 1_000;
const EVENTS_AT_ONCE = 200;

interface Dependencies {
  readonly shard: number;
  readonly meta: Pick<
    MetaStore,
    "busyState" | "saveBusyState" | "terms" | "saveTerms" | "storageId" | "events" | "removeEvents"
  >;
  readonly stub: () => Pick<ServiceRpc, "notice" | "calm" | "drain" | "takeEvents">;
  readonly usage: () => ShardUsage;
}

/**
 * The shard's side of its ServiceDO: busy epochs, quota, drain grants, evidence.
 *
 * Everything that must survive is stored before the call that tells of it, and every call may fail: an unconfirmed
 * epoch, an unsent calm or event is found again in the rows and sent by the next alarm.
 */
export class ServiceLink {
  readonly #deps: Dependencies;
  #state: BusyState;
  #terms: DrainTerms | null;
  #confirming: Promise<void> | null = null;
  #calming: Promise<void> | null = null;
  #reserving: Promise<void> = Promise.resolve();
  #nextReserve: Promise<void> | null = null;
  #retryAt = 0;
  #counters = createCounters();
  #bucketCalls: Partial<Record<BucketMethod, number>> = {};
  #failedCalls = 0;
  #fallback: FallbackDrain = IDLE_FALLBACK;
  #lastSuccessAt: number | null = null;
  #usageSentAt = 0;
  #usageDirty = false;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#state = deps.meta.busyState();
    this.#terms = deps.meta.terms();
  }

  // ── what is known ─────────────────────────────────────────────────────────────────────────────────────────────

  get config(): EffectiveConfig {
    return this.#terms?.config ?? DEFAULT_CONFIG;
  }

  get terms(): DrainTerms | null {
    return this.#terms;
  }

  get epoch(): number {
    return this.#state.epoch;
  }

  get isBusy(): boolean {
    return this.#state.busy !== null;
  }

  get isConfirmed(): boolean {
    return this.#state.confirmedEpoch >= this.#state.epoch;
  }

  get view(): ShardView {
    return { shard: this.#deps.shard, epoch: this.#state.epoch, busy: this.#state.busy };
  }

  /** When the last success of a write was, here or by a probe: the evidence against a failing operation. */
  get evidenceAt(): number | null {
    const times = [this.#lastSuccessAt, this.#terms?.lastWriteSuccessAt ?? null].filter((at) => at !== null);
    return times.length === 0 ? null : Math.max(...times);
  }

  /** From when on nobody writes past the queue to a key that was announced with `epoch`; null: not yet known. */
  writersAskFrom(epoch: number): number | null {
    return this.#state.confirmedEpoch >= epoch ? this.#state.leasesEndAt : null;
  }

  adoptTerms(terms: DrainTerms): void {
    const held = this.#terms;
    if (held !== null && held.storageId === terms.storageId && terms.version < held.version) return;
    const isChanged = held === null || held.storageId !== terms.storageId || terms.version > held.version;
    this.#terms = terms;
    if (isChanged) this.#deps.meta.saveTerms(terms);
  }

  // ── busy epochs ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Stored at once; told by `confirm`. */
  widen(keyHash: number): void {
    this.#save(widen(this.#state, keyHash));
  }

  narrow(held: readonly number[] | null): void {
    this.#save(narrow(this.#state, held));
  }

  /** Waits, not for ever, until the ServiceDO knows this epoch. Never throws. */
  async confirm(): Promise<void> {
    if (this.isConfirmed || Date.now() < this.#retryAt) return;
    await answered(this.#sendNotice(), CONFIRM_WAIT_MS).catch(() => undefined);
  }

  /**
   * Asks for room; the bounds are the service's, shared out in blocks. Never throws. Many may ask at once: the next
   * notice asks for all, and `wanted` is looked at when it is sent.
   */
  async reserve(wanted: () => ShardQuota): Promise<void> {
    if (Date.now() < this.#retryAt) return;
    this.#nextReserve ??= this.#reserving.then(() => {
      this.#nextReserve = null;
      this.#reserving = this.#notify(wanted()).catch(() => undefined);
      return this.#reserving;
    });
    await answered(this.#nextReserve, CALL_TIMEOUT_MS).catch(() => undefined);
  }

  /** Without the ServiceDO a shard may hold its equal share and no more. */
  get quota(): ShardQuota {
    const { max_queue_size, max_queue_bytes, shards } = this.config.queue;
    const count = this.#terms?.shardCount ?? shards;
    const isAlone = this.#failedCalls > 0;
    const share = (limit: number) => (isAlone ? Math.floor(limit / count) : 0);
    return {
      operations:
        max_queue_size === 0 ? Number.MAX_SAFE_INTEGER : Math.max(this.#state.quota.operations, share(max_queue_size)),
      bytes: Math.max(this.#state.quota.bytes, share(max_queue_bytes)),
    };
  }

  /**
   * The rows are empty: say so, unless something comes in meanwhile. Never throws. That a calm is under way is stored
   * before it is sent: should its answer be lost, what comes in next is announced anew all the same.
   */
  becomeCalm(): Promise<void> {
    if (!this.isBusy || Date.now() < this.#retryAt) return Promise.resolve();
    this.#calming ??= this.#sendCalm().finally(() => {
      this.#calming = null;
    });
    return this.#calming;
  }

  async #sendCalm(): Promise<void> {
    const { epoch } = this.#state;
    this.#save({ ...this.#state, isCalming: true });
    try {
      const notice = { shard: this.#deps.shard, epoch, usage: this.#deps.usage() };
      const { accepted } = await answered(this.#deps.stub().calm(notice), CALL_TIMEOUT_MS);
      this.#failedCalls = 0;
      // Something came in: its epoch is higher, and its notice follows.
      if (this.#state.epoch !== epoch) return;
      // A calm that was taken confirms its epoch, also when the busy notice got lost: nothing is left to be told.
      const calm = { busy: null, confirmedEpoch: epoch, quota: { operations: 0, bytes: 0 } };
      this.#save({ ...this.#state, isCalming: false, ...(accepted ? calm : { epoch: epoch + 1 }) });
    } catch {
      this.#failed();
    }
  }

  #sendNotice(): Promise<void> {
    this.#confirming ??= this.#notify(this.#state.quota).finally(() => {
      this.#confirming = null;
    });
    return this.#confirming;
  }

  async #notify(wanted: ShardQuota): Promise<void> {
    do {
      const { epoch, busy } = this.#state;
      if (busy === null) return;
      this.#usageSentAt = Date.now();
      this.#usageDirty = false;
      const notice = { shard: this.#deps.shard, epoch, busy, usage: this.#deps.usage(), wanted };
      try {
        const reply = await answered(this.#deps.stub().notice(notice), CALL_TIMEOUT_MS);
        const isNews = epoch > this.#state.confirmedEpoch;
        const leasesEndAt = isNews ? Date.now() + reply.leasesEndInMs : 0;
        this.#failedCalls = 0;
        this.adoptTerms(reply.terms);
        this.#save({
          ...this.#state,
          confirmedEpoch: Math.max(epoch, this.#state.confirmedEpoch),
          leasesEndAt: Math.max(leasesEndAt, this.#state.leasesEndAt),
          quota: reply.quota,
        });
      } catch (error) {
        this.#failed();
        throw error;
      }
    } while (!this.isConfirmed);
  }

  // ── the drain ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** This shard's part of the service's drain budget; its own careful one while the ServiceDO does not answer. */
  async grant(ready: number): Promise<DrainGrant> {
    const report = this.#takeReport();
    try {
      const request = { shard: this.#deps.shard, report, usage: this.#deps.usage(), ready };
      this.#usageSentAt = Date.now();
      this.#usageDirty = false;
      const grant = await answered(this.#deps.stub().drain(request), CALL_TIMEOUT_MS);
      this.#failedCalls = 0;
      this.#fallback = IDLE_FALLBACK;
      this.adoptTerms(grant.terms);
      return grant;
    } catch {
      putBack(this.#counters, report.counts);
      this.#failed();
      return fallbackGrant(this.#fallback, this.#terms, Date.now());
    }
  }

  /** Feeds the circuits. A failing operation counts once: `isRepeated` failures are no new evidence. */
  record(operationClass: OperationClass, outcome: Outcome, latencyMs: number, isRepeated: boolean): void {
    if (operationClass === "write" && outcome === "success") this.#lastSuccessAt = Date.now();
    if (!(outcome === "failure" && isRepeated)) count(this.#counters, operationClass, outcome, latencyMs);
    this.#fallback = fallbackResult(this.#fallback, outcome, Date.now());
  }

  countCall(method: BucketMethod): void {
    this.#bucketCalls[method] = (this.#bucketCalls[method] ?? 0) + 1;
  }

  #takeReport(): IsolateReport {
    const bucketCalls = this.#bucketCalls;
    this.#bucketCalls = {};
    return {
      reporter: `shard:${this.#deps.shard}`,
      counts: take(this.#counters),
      circuits: { read: "CLOSED", write: "CLOSED" },
      bucketCalls,
      rejected: { read: 0, write: 0 },
      failedReports: this.#failedCalls,
    };
  }

  // ── messages ──────────────────────────────────────────────────────────────────────────────────────────────────

  usageChanged(): void {
    this.#usageDirty = true;
  }

  /** When something unsent is to be sent; null: nothing is. */
  nextMessage(isEmpty: boolean, hasEvents: boolean, now: number): number | null {
    if (!this.isConfirmed || hasEvents || (isEmpty && this.isBusy)) return Math.max(now, this.#retryAt);
    if (this.#usageDirty && this.isBusy) return Math.max(now, this.#retryAt, this.#usageSentAt + USAGE_INTERVAL_MS);
    return null;
  }

  /** Sends what waits: an unconfirmed epoch, fresh usage, events. Never throws. */
  async flush(now: number): Promise<void> {
    if (now < this.#retryAt) return;
    const usageIsDue = this.#usageDirty && this.isBusy && now >= this.#usageSentAt + USAGE_INTERVAL_MS;
    if (!this.isConfirmed || usageIsDue) {
      await answered(this.#sendNotice(), CALL_TIMEOUT_MS).catch(() => undefined);
    }
    await this.#sendEvents().catch(() => this.#failed());
  }

  /** What the ServiceDO has taken already, and has lost the answer to, it recognises by its number. */
  async #sendEvents(): Promise<void> {
    const { meta, shard, stub } = this.#deps;
    for (;;) {
      const events = meta.events(EVENTS_AT_ONCE);
      const first = events[0];
      if (first === undefined) return;
      const batch = { source: `shard:${shard}`, epoch: meta.storageId(), after: 0, events };
      const { taken } = await answered(stub().takeEvents(batch), CALL_TIMEOUT_MS);
      if (taken < first.seq) throw new Error("the ServiceDO has taken none of the events");
      meta.removeEvents(taken);
    }
  }

  #failed(): void {
    this.#failedCalls += 1;
    this.#retryAt = Date.now() + RETRY_MS;
  }

  #save(state: BusyState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#deps.meta.saveBusyState(state);
  }
}

function answered<T>(call: Promise<T>, ms: number): Promise<T> {
  return within(call, ms, () => new Error(`no answer from the ServiceDO within ${ms} ms`));
}
