import { DurableObject } from "cloudflare:workers";
import initial from "../../migrations/queue/0001_initial.sql";
import { injectFaults } from "../../src/bucket/fault-injector";
import { type FailoverEnv, namespace, rawBucket } from "../../src/shared/env";
import { hashKey } from "../../src/shared/keys";
import type {
  CompleteUploadReply,
  CompleteUploadRequest,
  NamedPart,
  OpenUploadRequest,
  UploadedPart,
  UploadPartRequest,
  UploadState,
} from "../../src/shared/multipart-protocol";
import type {
  Answer,
  AskReply,
  AskRequest,
  DirectCall,
  DrainTerms,
  EnqueueReply,
  EnqueueRequest,
  ExportCut,
  FaultRule,
  PeekReply,
  PendingInReply,
  PendingOperation,
  PendingRange,
  Refusal,
  ShardUsage,
} from "../../src/shared/protocol";
import type { Actor, OperationRecord } from "../../src/shared/records";
import type { OperationFilter, QueueRpc, ServiceRpc } from "../../src/shared/rpc";
import { migrate } from "../shared/migrate";
import { ask } from "./ask";
import * as byHand from "./by-hand";
import { CallStore } from "./call-store";
import { Room } from "./capacity";
import { maxRetries } from "./claim";
import { completeUpload } from "./complete-upload";
import { Drain } from "./drain";
import { abortUpload, forgetUpload, UPLOAD_LIFE_MS } from "./end-upload";
import { enqueue } from "./enqueue";
import { manifestStream, payloadsStream, takeCut } from "./export";
import { isEmpty, retentionMs } from "./housekeeping";
import { MetaStore } from "./meta-store";
import { openUpload } from "./open-upload";
import { type OperationRow, recordOf } from "./operation-row";
import { logicalState, quarantine, release, settleKey } from "./order";
import type { Payload } from "./payload";
import { PayloadCipher } from "./payload-cipher";
import { payloadStream, smallPayload } from "./payload-reader";
import { CHUNK_BYTES, PayloadStore } from "./payload-store";
import { pendingIn, pendingState } from "./pending";
import { piecesOf } from "./pieces";
import { Pins } from "./pins";
import { QueueStore } from "./queue-store";
import { receivePart, stateOf, takeDownPart } from "./receive-part";
import { nextAlarm } from "./schedule";
import { ServiceLink } from "./service-link";
import { clockOffset, type Shard } from "./shard";
import { PLAIN_STEPS, type Steps } from "./steps";
import { UploadStore } from "./upload-store";

/** After an alarm that broke: not at once, or a bug would spin. */
const BROKEN_ALARM_MS = 1_000;
/** An alarm that is so late will not come. */
const OVERDUE_MS = 5_000;

/**
 * One shard of a service's queue: the writes that R2 could not take, in order per key, until R2 has them.
 *
 * The class is a shell: it opens the stores, routes calls to the parts (enqueue, ask, drain, by hand), and keeps the
 * alarm. Everything that matters is in rows; what is in memory may be lost at any await.
 */
export class QueueDO extends DurableObject<FailoverEnv> implements QueueRpc {
  /** Tests put their own in place. */
  steps: Steps = PLAIN_STEPS;
  readonly #shard: Shard;
  readonly #drain: Drain;
  #alarmAt: number | null = null;

  constructor(ctx: DurableObjectState, env: FailoverEnv) {
    super(ctx, env);
    migrate(ctx, [{ name: "0001_initial", sql: initial }]);
    this.#shard = this.#open();
    this.#drain = new Drain(this.#shard, Math.random);
    this.#recover();
    this.#arm();
  }

  // ── writes ────────────────────────────────────────────────────────────────────────────────────────────────────

  enqueue(request: EnqueueRequest, body: Payload | null): Promise<EnqueueReply> {
    return enqueue(this.#shard, request, body);
  }

  ask(request: AskRequest): Promise<AskReply> {
    return ask(this.#shard, request);
  }

  async settle(ticket: string, outcome: "landed" | "refused" | "unknown"): Promise<void> {
    const { calls, link } = this.#shard;
    const call = calls.get(ticket);
    if (call === null) return;
    if (outcome === "unknown") {
      calls.becomeDirect(ticket);
      link.widen(hashKey(call.key));
    } else {
      calls.close(ticket);
    }
    settleKey(this.#shard, call.key, Date.now());
    this.#shard.changed();
  }

  async quarantine(key: string, fingerprint: string | null, call: DirectCall): Promise<void> {
    quarantine(this.#shard, key, fingerprint, call, Date.now());
    this.#shard.changed();
  }

  // ── multipart uploads ─────────────────────────────────────────────────────────────────────────────────────────

  openUpload(request: OpenUploadRequest): Promise<Refusal | null> {
    return openUpload(this.#shard, request);
  }

  uploadPart(request: UploadPartRequest, body: Payload): Promise<Answer<{ part: NamedPart }>> {
    return receivePart(this.#shard, request, body);
  }

  async partUploaded(key: string, uploadId: string, part: UploadedPart): Promise<UploadState> {
    return takeDownPart(this.#shard, key, uploadId, part);
  }

  completeUpload(request: CompleteUploadRequest): Promise<CompleteUploadReply> {
    return completeUpload(this.#shard, request);
  }

  async abortUpload(key: string, uploadId: string): Promise<boolean> {
    const isInR2 = abortUpload(this.#shard, key, uploadId, Date.now());
    this.#shard.changed();
    return isInR2;
  }

  async forgetUpload(key: string, uploadId: string): Promise<void> {
    forgetUpload(this.#shard, key, uploadId);
    this.#shard.changed();
  }

  async uploadState(key: string, uploadId: string): Promise<UploadState> {
    return stateOf(this.#shard.uploads.get(uploadId, key));
  }

  // ── reads ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async peek(key: string): Promise<PeekReply> {
    const row = logicalState(this.#shard, key);
    // The ledger belongs to the moment of the row: taken before anything is awaited.
    const ledger = this.#shard.calls.ledger(key, clockOffset(this.#shard));
    const pending = row === null ? null : await this.#pending(row);
    return { shard: this.#shard.link.view, pending, ledger };
  }

  pendingIn(range: PendingRange): Promise<PendingInReply> {
    return pendingIn(this.#shard, range);
  }

  async payload(operationId: string, offset: number, length: number): Promise<ReadableStream<Uint8Array> | null> {
    const row = this.#shard.store.byOperationId(operationId);
    if (row === null || row.phase === "final" || row.operation_type === "DELETE") return null;
    const pieces = piecesOf(this.#shard, row);
    return pieces === null ? null : payloadStream(this.#shard, pieces, offset, length);
  }

  async #pending(row: OperationRow): Promise<PendingOperation> {
    const pieces = piecesOf(this.#shard, row);
    const [first, ...others] = pieces ?? [];
    const isSmall = first !== undefined && others.length === 0 && row.size <= CHUNK_BYTES;
    // Both are read in the same turn as the row: after an await they may be gone.
    const [state, inline] = await Promise.all([
      pendingState(this.#shard, row),
      isSmall ? smallPayload(this.#shard, first) : null,
    ]);
    return { ...state, inline, ...(pieces === null && { partsInR2: true }) };
  }

  // ── the ServiceDO and the cron trigger ────────────────────────────────────────────────────────────────────────

  async wake(terms: DrainTerms): Promise<void> {
    this.#shard.link.adoptTerms(terms);
    this.#drain.release();
    // The service's own poke comes as a wake.
    await this.poke();
  }

  /** The last net under a lost alarm: what this object believes of its alarm counts for nothing. */
  async poke(): Promise<void> {
    this.#alarmAt = null;
    this.#shard.changed();
  }

  async layout(): Promise<{ shardCount: number } | null> {
    const { terms } = this.#shard.link;
    return terms === null ? null : { shardCount: terms.shardCount };
  }

  // ── operators ─────────────────────────────────────────────────────────────────────────────────────────────────

  async usage(): Promise<ShardUsage> {
    return usageOf(this.#shard);
  }

  async operations(filter: OperationFilter): Promise<OperationRecord[]> {
    return this.#shard.store.list(filter).map((row) => this.#record(row));
  }

  async operation(id: string): Promise<OperationRecord | null> {
    const row = this.#shard.store.byOperationId(id);
    return row === null ? null : this.#record(row);
  }

  exportCut(): Promise<ExportCut> {
    return takeCut(this.#shard, Date.now());
  }

  async exportManifest(cut: ExportCut): Promise<ReadableStream<Uint8Array>> {
    return manifestStream(this.#shard, cut);
  }

  async exportPayloads(cut: ExportCut): Promise<ReadableStream<Uint8Array>> {
    return payloadsStream(this.#shard, cut);
  }

  async cancel(id: string, by: Actor): Promise<Answer<{ operation: OperationRecord }>> {
    return byHand.cancel(this.#shard, id, by);
  }

  retry(id: string, force: boolean, by: Actor): Promise<Answer<{ operation: OperationRecord }>> {
    return byHand.retry(this.#shard, id, force, by);
  }

  redrive(force: boolean, by: Actor): Promise<{ redriven: number; changed: number }> {
    return byHand.redrive(this.#shard, force, by);
  }

  #record(row: OperationRow): OperationRecord {
    return recordOf(row, this.#shard.service, maxRetries(this.#shard, row));
  }

  // ── the alarm ─────────────────────────────────────────────────────────────────────────────────────────────────

  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    let notBefore = 0;
    try {
      await this.#drain.run();
    } catch (error) {
      // An alarm that throws is tried six times and then dropped: an hour's outage outlives that.
      console.error(JSON.stringify({ level: "error", at: "queue.alarm", error: String(error) }));
      notBefore = Date.now() + BROKEN_ALARM_MS;
    }
    this.#arm(notBefore);
  }

  /** Sets the alarm that the rows ask for, when it is earlier than the one that is set. */
  #arm(notBefore = 0): void {
    const now = Date.now();
    // One that is overdue was lost.
    if (this.#alarmAt !== null && this.#alarmAt < now - OVERDUE_MS) this.#alarmAt = null;
    if (this.#alarmAt !== null && this.#alarmAt <= now) return;
    const { store, calls, payloads, uploads, link, meta, pins } = this.#shard;
    const oldestUpload = uploads.oldest();
    const next = nextAlarm(
      {
        hasReady: store.hasReady(),
        holdUntil: this.#drain.holdUntil,
        nextDue: store.nextDue(),
        nextAbort: uploads.nextAbort(),
        nextUploadEnd: oldestUpload === null ? null : oldestUpload.created_at + UPLOAD_LIFE_MS,
        nextCallEnd: calls.nextUntil(),
        oldestFinal: store.oldestFinal(),
        retentionMs: retentionMs(this.#shard),
        hasPayloadsToFree: payloads.hasFreeable((id) => pins.isPinned(id)),
        nextMessage: link.nextMessage(isEmpty(this.#shard), meta.events(1).length > 0, now),
        processingIntervalMs: link.config.queue.processing_interval,
      },
      now,
    );
    if (next === null) return;
    const at = Math.max(next, notBefore);
    if (this.#alarmAt !== null && this.#alarmAt <= at) return;
    this.#alarmAt = at;
    void this.ctx.storage.setAlarm(at);
  }

  // ── construction ──────────────────────────────────────────────────────────────────────────────────────────────

  #open(): Shard {
    const { sql } = this.ctx.storage;
    const name = this.ctx.id.name ?? "";
    const [service = "", shardNumber = "0"] = splitName(name);
    const store = new QueueStore(sql);
    const uploads = new UploadStore(sql);
    const meta = new MetaStore(sql);
    const link = new ServiceLink({
      shard: Number(shardNumber),
      meta,
      usage: () => usageOf({ store, uploads }),
      stub: () => {
        const services = namespace(this.env, "SERVICE_DO");
        return services.get(services.idFromName(service)) as unknown as ServiceRpc;
      },
    });
    const bucket = injectFaults(rawBucket(this.env, service), () => this.#faults(link), {
      onCall: (method) => link.countCall(method),
      now: () => Date.now(),
      random: Math.random,
    });
    return {
      service,
      store,
      calls: new CallStore(sql),
      payloads: new PayloadStore(sql),
      uploads,
      meta,
      link,
      cipher: new PayloadCipher(this.env.PAYLOAD_ENCRYPTION_KEY, this.env.PAYLOAD_ENCRYPTION_KEY_PREVIOUS),
      pins: new Pins(),
      room: new Room(),
      bucket,
      steps: { at: (step, work) => this.steps.at(step, work) },
      changed: () => {
        if (this.#drain.isRunning) this.#drain.prompt();
        else this.#arm();
      },
    };
  }

  #faults(link: ServiceLink): readonly FaultRule[] {
    return this.env.FAULT_INJECTION === "on" ? (link.terms?.faults ?? []) : [];
  }

  /** Whatever a dead incarnation held in its hands: receipts are given up, claims go back to be looked at first. */
  #recover(): void {
    const { store, payloads } = this.#shard;
    const now = Date.now();
    payloads.abandonReceipts();
    for (const row of store.claimed()) {
      release(this.#shard, row, now, now);
      settleKey(this.#shard, row.key, now);
    }
  }
}

/** Parts of open uploads count towards the bytes, and towards no operation. */
function usageOf({ store, uploads }: Pick<Shard, "store" | "uploads">): ShardUsage {
  const usage = store.usage();
  return { ...usage, bytes: usage.bytes + uploads.held.bytes };
}

/** `<service>:<shard>`; a service's name may itself contain colons. */
function splitName(name: string): [string, string] {
  const at = name.lastIndexOf(":");
  return [name.slice(0, at), name.slice(at + 1)];
}
