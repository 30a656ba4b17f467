/** What each object answers by RPC. The classes implement these; callers see nothing else of them. */
import type { EffectiveConfig } from "./config";
import type { EventBatch, EventsTaken, FeedTaken, WatchedState } from "./event-batch";
import type {
  CompleteUploadReply,
  CompleteUploadRequest,
  NamedPart,
  OpenUploadRequest,
  UploadedPart,
  UploadPartRequest,
  UploadState,
} from "./multipart-protocol";
import type {
  Answer,
  AskReply,
  AskRequest,
  CalmNotice,
  DirectCall,
  DrainGrant,
  DrainRequest,
  DrainTerms,
  EnqueueReply,
  EnqueueRequest,
  ExportCut,
  FaultRule,
  IsolateReport,
  NoticeReply,
  OperationClass,
  OperationStatus,
  PeekReply,
  PendingInReply,
  PendingRange,
  Refusal,
  ShardNotice,
  ShardUsage,
  Snapshot,
} from "./protocol";
import type {
  Actor,
  AvailabilityRecord,
  ConfigRecord,
  EventRecord,
  HealthMetrics,
  IncidentRecord,
  OperationRecord,
  RecordedEvent,
  ServiceHistoryRecord,
  ServiceMode,
  ServiceRecord,
} from "./records";

export interface ModeChange {
  readonly mode: ServiceMode;
  /** Default: both. */
  readonly circuits?: readonly OperationClass[];
  readonly readOnly?: boolean;
  readonly reason: string;
  /** After this the mode falls back to `auto`. */
  readonly durationMs?: number;
}

/** One probe of a service: what was tried, and how it went. Null times: not tried. */
export interface ProbeResult {
  readonly write: { readonly ok: boolean; readonly ms: number };
  readonly read: { readonly ok: boolean; readonly ms: number };
  readonly remove: { readonly ok: boolean; readonly ms: number | null };
  readonly clockOffsetMs: number | null;
}

/** By the rates of the last seconds; null: not known, or not to be expected. */
export interface QueueEstimates {
  readonly drainedInMs: number | null;
  readonly fullInMs: number | null;
}

/** What `/health/status` needs of one service, in one call. */
export interface ServiceOverview {
  readonly record: ServiceRecord;
  readonly usage: ShardUsage;
  readonly estimates: QueueEstimates;
  readonly paused: boolean;
  /** Whether it is probed by itself. */
  readonly monitored: boolean;
  readonly lastCheck: number | null;
  /** Calls that met R2 (or its injector) since the object was created, by who made them. */
  readonly bucketCalls: Readonly<Record<"isolates" | "drain" | "probes", Readonly<Record<OperationClass, number>>>>;
  /** The same, counted only while the class's circuit was open. */
  readonly bucketCallsWhileOpen: Readonly<
    Record<"isolates" | "drain" | "probes", Readonly<Record<OperationClass, number>>>
  >;
}

/** Calls of one class since the service was first used. `latency`: calls per bucket of `LATENCY_BOUNDS_MS`. */
export interface ClassTotals {
  readonly success: number;
  readonly failure: number;
  readonly throttled: number;
  readonly ignored: number;
  readonly rejected: number;
  readonly latency: readonly number[];
}

/** A part of an object's events, oldest first. */
export interface EventPage {
  /** The sequence's epoch: another one means that storage was lost, and that counting began anew. */
  readonly storageId: string;
  readonly events: EventRecord[];
  /** The number of the last event; 0: there was none. */
  readonly head: number;
  /** The number of the oldest event that is kept. */
  readonly oldest: number;
}

/** An object that takes subscribers: see `subscriptionRequest`. */
interface Subscribable {
  fetch(request: Request): Promise<Response>;
}

export interface ServiceRpc extends Subscribable {
  /** Counts in, snapshot out: one call reports and refreshes. */
  report(report: IsolateReport): Promise<Snapshot>;
  overview(): Promise<ServiceOverview>;
  /** Counters that survive the object: never smaller than before, but for what `metrics_gap_ms` tells of. */
  totals(): Promise<Readonly<Record<OperationClass, ClassTotals>>>;
  history(): Promise<ServiceHistoryRecord>;
  /** Newest first, of the last 90 days. */
  incidents(limit: number): Promise<IncidentRecord[]>;
  /** Of the last `hours`, at most 90 days. */
  availability(hours: number): Promise<AvailabilityRecord>;
  /** Runs a probe now and counts it. `result` null: what was probed is no bucket, or there is nothing to probe. */
  probe(): Promise<{ result: ProbeResult | null; metrics: HealthMetrics }>;
  setMode(change: ModeChange, by: Actor): Promise<Answer<{ record: ServiceRecord; snapshot: Snapshot }>>;
  setFaults(
    faults: readonly FaultRule[],
    by: Actor,
  ): Promise<Answer<{ faults: readonly FaultRule[]; snapshot: Snapshot }>>;
  faults(): Promise<readonly FaultRule[]>;
  /** Starts or stops the probes that come by themselves. Idempotent. */
  setMonitoring(on: boolean, by: Actor): Promise<Answer<{ monitored: boolean }>>;
  setPaused(paused: boolean, by: Actor): Promise<Answer<{ paused: boolean }>>;
  /** The first `limit` after `since`, or, without `since`, the last ones; oldest first either way. */
  events(since: number | null, limit: number): Promise<EventPage>;
  /** From SystemDO: takes effect at once here, elsewhere within a lease. */
  configChanged(config: EffectiveConfig, by: Actor): Promise<void>;
  /** From the cron trigger: derives the alarm again and pokes busy shards. */
  poke(): Promise<void>;

  notice(notice: ShardNotice): Promise<NoticeReply>;
  calm(notice: CalmNotice): Promise<{ accepted: boolean }>;
  drain(request: DrainRequest): Promise<DrainGrant>;
  /** What a shard recorded, out of its outbox. */
  takeEvents(batch: EventBatch): Promise<EventsTaken>;
  /** From SystemDO, which has subscribers: the state now; its changes follow for so long with the events. */
  watch(ms: number): Promise<WatchedState>;
  /** An event that only the Worker knows of. `id` makes it idempotent. */
  recordEvent(event: RecordedEvent & { id: string }): Promise<void>;
}

export interface OperationFilter {
  readonly status?: OperationStatus;
  readonly userId?: string;
  readonly key?: string;
  readonly limit: number;
  /** Operations created strictly before this (ms), and at the same time with a smaller id. */
  readonly before?: { readonly createdAt: number; readonly operationId: string };
}

export interface QueueRpc {
  /** `body`: the payload of a put; bytes, or a byte stream. Null for a delete. */
  enqueue(request: EnqueueRequest, body: Uint8Array | ReadableStream<Uint8Array> | null): Promise<EnqueueReply>;
  ask(request: AskRequest): Promise<AskReply>;
  /** The end of a call for which a ticket was given. `landed`: R2 answered; `unknown`: it may yet land. */
  settle(ticket: string, outcome: "landed" | "refused" | "unknown"): Promise<void>;
  /** The logical state of a key that the queue knows of. */
  peek(key: string): Promise<PeekReply>;
  /** The logical state of a range of keys, without payloads. */
  pendingIn(range: PendingRange): Promise<PendingInReply>;
  /** Bytes `[offset, offset + length)` of a queued payload, or null when it is gone (drained): then look again. */
  payload(operationId: string, offset: number, length: number): Promise<ReadableStream<Uint8Array> | null>;
  /** A put was given up and nothing was enqueued: keep the drain off the key until the fence has passed. */
  quarantine(key: string, fingerprint: string | null, call: DirectCall): Promise<void>;

  /** Takes down an upload that was begun in R2, or begins one here. Null: done; the same id again changes nothing. */
  openUpload(request: OpenUploadRequest): Promise<Refusal | null>;
  /** Stores a part. The last one of a number counts. */
  uploadPart(
    request: UploadPartRequest,
    body: Uint8Array | ReadableStream<Uint8Array>,
  ): Promise<Answer<{ part: NamedPart }>>;
  /** R2 has taken a part: it takes the place of what is here under its number. */
  partUploaded(key: string, uploadId: string, part: UploadedPart): Promise<UploadState>;
  /** Asks before R2 is told to complete an upload, or queues its completion. */
  completeUpload(request: CompleteUploadRequest): Promise<CompleteUploadReply>;
  /** Nobody may add to the upload any more, or complete it. True: R2 has it, and is to be told. */
  abortUpload(key: string, uploadId: string): Promise<boolean>;
  /** R2 has completed or aborted the upload: what is kept for it is let go. */
  forgetUpload(key: string, uploadId: string): Promise<void>;
  uploadState(key: string, uploadId: string): Promise<UploadState>;

  /** The ServiceDO's circuits, config or faults changed: look again. */
  wake(terms: DrainTerms): Promise<void>;
  poke(): Promise<void>;
  /** What a cold isolate asks shard 0 when the ServiceDO is down. Null: this service was never used. */
  layout(): Promise<{ shardCount: number } | null>;
  usage(): Promise<ShardUsage>;

  /** What an export takes from here, and how long its part of the manifest is. */
  exportCut(): Promise<ExportCut>;
  exportManifest(cut: ExportCut): Promise<ReadableStream<Uint8Array>>;
  /** Files of a tar archive, without the archive's end. */
  exportPayloads(cut: ExportCut): Promise<ReadableStream<Uint8Array>>;
  operations(filter: OperationFilter): Promise<OperationRecord[]>;
  operation(id: string): Promise<OperationRecord | null>;
  cancel(id: string, by: Actor): Promise<Answer<{ operation: OperationRecord }>>;
  retry(id: string, force: boolean, by: Actor): Promise<Answer<{ operation: OperationRecord }>>;
  /** Every dead letter of this shard, as far as its key has not changed since. */
  redrive(force: boolean, by: Actor): Promise<{ redriven: number; changed: number }>;
}

export interface SystemRpc extends Subscribable {
  /** A service registers itself at first use, and gets the config in force. */
  register(service: string): Promise<EffectiveConfig>;
  services(): Promise<string[]>;
  /** What a service recorded, for the merged feed, and its state. */
  takeEvents(batch: EventBatch): Promise<FeedTaken>;
  /** The merged feed: the first `limit` after `since`, or, without `since`, the last ones. */
  events(since: number | null, limit: number): Promise<EventPage>;
  config(): Promise<ConfigRecord[]>;
  setConfig(section: string, key: string, value: unknown, by: Actor): Promise<Answer<{ record: ConfigRecord }>>;
}
