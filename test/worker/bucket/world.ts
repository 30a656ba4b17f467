/**
 * A FailoverBucket on the real (local) R2, with objects that do as they are told: they answer, fail or hang, and keep
 * what they were asked. The real objects are met in `system.test.ts`.
 */
import { env } from "cloudflare:workers";
import { FailoverBucket } from "../../../src/bucket/failover-bucket";
import { resetIsolate } from "../../../src/bucket/isolate-service";
import type { BucketOptions } from "../../../src/bucket/session";
import { DEFAULT_CONFIG, type ServiceConfig } from "../../../src/shared/config";
import type { FailoverEnv } from "../../../src/shared/env";
import { compareKeys } from "../../../src/shared/key-order";
import { hashKey, shardOf } from "../../../src/shared/keys";
import type {
  AskRequest,
  AskVerdict,
  CircuitView,
  DirectCall,
  EnqueueRequest,
  FaultRule,
  IsolateReport,
  Ledger,
  PendingOperation,
  PendingRange,
  Refusal,
  ShardView,
  Snapshot,
  Stored,
} from "../../../src/shared/protocol";

export const SHARDS = 4;
export const CLOSED: CircuitView = { state: "CLOSED", generation: 1, openUntil: null, ramp: null };
export const NO_LEDGER: Ledger = { appliedVersions: [], unknownPuts: [], clockOffsetMs: 0 };

export type Mood = "answers" | "fails" | "hangs";

async function inMood<T>(mood: Mood, answer: () => T | Promise<T>): Promise<T> {
  if (mood === "fails") throw new Error("internal error; reference = fake");
  if (mood === "hangs") return new Promise<never>(() => undefined);
  return answer();
}

export interface Enqueued {
  readonly request: EnqueueRequest;
  readonly bytes: Uint8Array | null;
  readonly isStream: boolean;
}

const R2_METHODS = ["put", "get", "head", "delete", "list"] as const;
type R2Method = (typeof R2_METHODS)[number];

export class World {
  serviceMood: Mood = "answers";
  queueMood: Mood = "answers";
  /** A shard takes this long to answer. */
  queueDelayMs = 0;
  reports: IsolateReport[] = [];
  objectCalls = 0;
  snapshot: Snapshot;

  enqueued: Enqueued[] = [];
  /** Thrown, once each, before the next enqueues are looked at. */
  enqueueErrors: Error[] = [];
  refusal: Refusal | null = null;
  conditionHolds = true;
  asked: AskRequest[] = [];
  verdict: (item: { key: string; operationId: string }) => AskVerdict = () => ({ verdict: "direct", ticket: "t" });
  settled: { ticket: string; outcome: string }[] = [];
  quarantines: { key: string; fingerprint: string | null; call: DirectCall }[] = [];
  peeks: string[] = [];
  pending = new Map<string, PendingOperation>();
  ledger: Ledger = NO_LEDGER;
  /** What `payload` gives; null is "gone". Default: the enqueued bytes. */
  payload: ((id: string, offset: number, length: number) => ReadableStream<Uint8Array> | null) | null = null;

  /** Lists that shards were asked for, as `<shard> after <key>`. */
  ranges: string[] = [];
  /** Items of one answer to such a list. */
  rangeLimit = 1_000;

  /** Calls that reached R2, as `put key`, or `list prefix`. */
  r2Calls: string[] = [];
  /** Takes the place of a method of R2. */
  r2: Partial<Record<R2Method, (...args: never[]) => unknown>> = {};
  readonly env: FailoverEnv;

  constructor(config: Partial<ServiceConfig> = {}) {
    this.snapshot = {
      service: "R2_STORAGE",
      storageId: "s",
      version: 1,
      issuedAt: Date.now(),
      leaseMs: 5_000,
      reportAfterOutcomes: 10_000,
      circuits: { read: CLOSED, write: CLOSED },
      readOnly: false,
      shardCount: SHARDS,
      shards: [],
      config: { ...DEFAULT_CONFIG, service: { ...DEFAULT_CONFIG.service, ...config } },
      faults: [],
      clockOffsetMs: 0,
    };
    this.env = {
      R2_BUCKET: this.#bucket(),
      SERVICE_DO: namespaceOf(() => this.#serviceObject()),
      QUEUE_DO: namespaceOf((name) => this.#queueObject(Number(name.split(":")[1]))),
      SYSTEM_DO: env.SYSTEM_DO,
      FAULT_INJECTION: "on",
    };
  }

  bucket(options: BucketOptions = {}): FailoverBucket {
    return new FailoverBucket(this.env, options);
  }

  /** The next snapshot has these. */
  change(change: Partial<Snapshot>): void {
    this.snapshot = { ...this.snapshot, ...change, version: this.snapshot.version + 1 };
  }

  fault(...faults: FaultRule[]): void {
    this.change({ faults });
  }

  busyShard(key: string, epoch = 1): ShardView {
    return { shard: shardOf(key, SHARDS), epoch, busy: [hashKey(key)] };
  }

  #bucket(): R2Bucket {
    return new Proxy(env.R2_BUCKET, {
      get: (bucket, method) => {
        const real = Reflect.get(bucket, method) as (...args: unknown[]) => unknown;
        if (!R2_METHODS.some((name) => name === method)) return real.bind(bucket);
        return (...args: unknown[]) => {
          const what = method === "list" ? ((args[0] as R2ListOptions | undefined)?.prefix ?? "") : String(args[0]);
          this.r2Calls.push(`${String(method)} ${what}`);
          const replaced = this.r2[method as R2Method];
          return replaced === undefined ? real.apply(bucket, args) : replaced(...(args as never[]));
        };
      },
    });
  }

  #serviceObject() {
    return {
      report: (report: IsolateReport) => {
        this.objectCalls += 1;
        return inMood(this.serviceMood, () => {
          this.reports.push(report);
          return { ...this.snapshot, issuedAt: Date.now() };
        });
      },
    };
  }

  #queueObject(shard: number) {
    const call = async <T>(answer: () => T | Promise<T>) => {
      this.objectCalls += 1;
      if (this.queueDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.queueDelayMs));
      return inMood(this.queueMood, answer);
    };
    const view = (): ShardView => {
      const keys = [...this.pending.keys()].filter((key) => shardOf(key, SHARDS) === shard);
      return { shard, epoch: keys.length, busy: keys.length === 0 ? null : keys.map(hashKey) };
    };
    return {
      layout: () => call(() => ({ shardCount: SHARDS })),
      enqueue: (request: EnqueueRequest, body: Uint8Array | ReadableStream<Uint8Array> | null) =>
        call(async () => {
          const error = this.enqueueErrors.shift();
          if (error !== undefined) throw error;
          const bytes = body instanceof ReadableStream ? new Uint8Array(await new Response(body).arrayBuffer()) : body;
          this.enqueued.push({ request, bytes, isStream: body instanceof ReadableStream });
          if (this.refusal !== null) return this.refusal;
          if (request.condition !== null && !this.conditionHolds) return { ok: true, verdict: "condition_failed" };
          const stored = await storedOf(request, bytes);
          this.pending.set(request.key, {
            stored,
            kind: request.kind,
            metadata: request.metadata,
            fenceAt: stored.enqueuedAt + 1,
            firstCallAt: null,
            inline: bytes !== null && bytes.byteLength <= 1_024 ? bytes : null,
          });
          return { ok: true, verdict: "queued", stored, shard: view() };
        }),
      ask: (request: AskRequest) =>
        call(() => {
          this.asked.push(request);
          return { verdicts: request.items.map((item) => this.verdict(item)), shard: view() };
        }),
      settle: (ticket: string, outcome: string) => call(() => void this.settled.push({ ticket, outcome })),
      peek: (key: string) =>
        call(() => {
          this.peeks.push(key);
          return { shard: view(), pending: this.pending.get(key) ?? null, ledger: this.ledger };
        }),
      pendingIn: ({ prefix, after, limit }: PendingRange) =>
        call(() => {
          this.ranges.push(`${shard} after ${after}`);
          this.r2Calls.push(`pendingIn ${shard}`);
          const items = [...this.pending.values()]
            .filter(({ stored: { key } }) => shardOf(key, SHARDS) === shard && key.startsWith(prefix))
            .filter(({ stored: { key } }) => compareKeys(key, after) > 0)
            .sort((a, b) => compareKeys(a.stored.key, b.stored.key))
            .map(({ inline: _payload, ...item }) => item);
          const most = Math.min(limit, this.rangeLimit);
          const isTruncated = items.length > most;
          return { shard: view(), items: items.slice(0, most), isTruncated, clockOffsetMs: 0 };
        }),
      payload: (id: string, offset: number, length: number) =>
        call(() => {
          if (this.payload !== null) return this.payload(id, offset, length);
          const { bytes } = this.enqueued.find(({ request }) => request.operationId === id) ?? { bytes: null };
          return bytes === null ? null : new Blob([bytes.slice(offset, offset + length)]).stream();
        }),
      quarantine: (key: string, fingerprint: string | null, direct: DirectCall) =>
        call(() => void this.quarantines.push({ key, fingerprint, call: direct })),
    };
  }
}

/** A fresh world for a fresh isolate. */
export function newWorld(config: Partial<ServiceConfig> = {}): World {
  resetIsolate();
  return new World(config);
}

function namespaceOf(object: (name: string) => object): never {
  return { idFromName: (name: string) => name, get: (name: string) => object(name) } as never;
}

async function storedOf(request: EnqueueRequest, bytes: Uint8Array | null): Promise<Stored> {
  const md5 = bytes === null ? "" : await md5Of(bytes);
  return {
    operationId: request.operationId,
    status: "PENDING",
    key: request.key,
    size: bytes?.byteLength ?? 0,
    etag: md5,
    checksums: bytes === null ? {} : { md5 },
    enqueuedAt: Date.now(),
  };
}

export async function md5Of(bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("MD5", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Bytes that differ from place to place. */
export function pattern(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i += 1) bytes[i] = (i * 31 + (i >> 8)) & 0xff;
  return bytes;
}

/** A stream of `bytes` in chunks. Before chunk `at` it waits, or breaks with `error`. */
export function sourceOf(
  bytes: Uint8Array,
  chunk: number,
  trouble: { at?: number; waitMs?: number; error?: Error } = {},
): ReadableStream<Uint8Array> {
  let index = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (index === trouble.at) {
          if (trouble.error !== undefined) return controller.error(trouble.error);
          await new Promise((resolve) => setTimeout(resolve, trouble.waitMs));
        }
        const from = index * chunk;
        index += 1;
        if (from >= bytes.byteLength) controller.close();
        else controller.enqueue(bytes.slice(from, from + chunk));
      },
    },
    { highWaterMark: 0 },
  );
}
