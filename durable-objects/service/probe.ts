import { classifyR2Error, R2TimeoutError } from "../../src/bucket/r2-errors";
import { RESERVED_PREFIX } from "../../src/shared/keys";
import type { OperationClass, Outcome } from "../../src/shared/protocol";
import type { ProbeResult } from "../../src/shared/rpc";
import { within } from "../../src/shared/within";

/** R2 allows one write a second per key: trials in quick succession take turns. */
const CANARIES = 8;

export interface ProbeDeadlines {
  readonly readMs: number;
  readonly writeMs: number;
}

export interface ProbeReport {
  /** Null: what was probed is no bucket. */
  readonly result: ProbeResult | null;
  readonly steps: Readonly<Record<OperationClass, { readonly ok: boolean; readonly ms: number }>>;
  /** The evidence for each circuit. */
  readonly outcomes: { readonly read: Outcome; readonly write: Outcome };
  /** R2's clock minus ours, as far as one put can tell: it lies between these. Null: the put failed. */
  readonly clockOffset: ClockInterval | null;
}

interface Step<T> {
  readonly outcome: Outcome;
  readonly ok: boolean;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly value: T | null;
}

/**
 * Writes a canary, reads it back and deletes it, each with its deadline. The read is tried also when the write failed,
 * since each class has its own circuit. `n` is the number of the probe.
 */
export async function probeBucket(
  bucket: R2Bucket,
  n: number,
  deadlines: ProbeDeadlines,
  now: () => number,
): Promise<ProbeReport & { readonly result: ProbeResult }> {
  const key = `${RESERVED_PREFIX}canary-${n % CANARIES}`;
  const body = new TextEncoder().encode(`r2-failover canary ${n} ${now()}`);
  const sha256 = await crypto.subtle.digest("SHA-256", body);

  const put = await step("put", deadlines.writeMs, now, () => bucket.put(key, body, { sha256 }));
  const get = await step("get", deadlines.readMs, now, () => readBack(bucket, key));
  // After a put that failed there is nothing to remove, or its late landing is overwritten by a later probe.
  const remove = put.ok ? await step("delete", deadlines.writeMs, now, () => bucket.delete(key)) : null;

  const uploaded = put.value?.uploaded.getTime();
  const write = { ok: put.ok, ms: put.endedAt - put.startedAt };
  const read = { ok: get.ok, ms: get.endedAt - get.startedAt };
  return {
    result: {
      write,
      read,
      remove: { ok: remove?.ok ?? false, ms: remove === null ? null : remove.endedAt - remove.startedAt },
      clockOffsetMs: uploaded === undefined ? null : Math.round(uploaded - (put.startedAt + put.endedAt) / 2),
    },
    steps: { read, write },
    outcomes: {
      read: get.outcome,
      write: remove === null || put.outcome !== "success" ? put.outcome : remove.outcome,
    },
    clockOffset: uploaded === undefined ? null : { least: uploaded - put.endedAt, most: uploaded - put.startedAt },
  };
}

/** Compared with its own checksum, not with what was just written: a put that lands late may have taken its place. */
async function readBack(bucket: R2Bucket, key: string): Promise<void> {
  const object = await bucket.get(key);
  if (object === null) return;
  const read = new Uint8Array(await crypto.subtle.digest("SHA-256", await object.arrayBuffer()));
  const stored = object.checksums.sha256;
  if (stored === undefined || !crypto.subtle.timingSafeEqual(read, new Uint8Array(stored))) {
    throw new Error("get: the canary's bytes do not match its checksum");
  }
}

async function step<T>(method: string, ms: number, now: () => number, call: () => Promise<T>): Promise<Step<T>> {
  const startedAt = now();
  try {
    const value = await within(call(), ms, () => new R2TimeoutError(method, ms));
    return { outcome: "success", ok: true, startedAt, endedAt: now(), value };
  } catch (error) {
    return { outcome: evidence(error), ok: false, startedAt, endedAt: now(), value: null };
  }
}

/** R2 refusing the canary as the caller's fault is R2 at work: counted as a failure it would keep a circuit open for ever. */
function evidence(error: unknown): Outcome {
  const { outcome } = classifyR2Error(error);
  return outcome === "caller" ? "success" : outcome;
}

export interface ClockInterval {
  readonly least: number;
  readonly most: number;
}

/** Beyond this it is no clock that drifts, but a measurement gone wrong. */
const MAX_OFFSET_MS = 300_000;

/**
 * The offset after one more measurement: it moves only as far as the measurement proves (Marzullo's intervals), so that
 * a slow put neither shifts it nor makes a new snapshot version.
 */
export function adjustOffset(held: number, { least, most }: ClockInterval): number {
  const adjusted = held < least ? least : held > most ? most : held;
  return Math.round(Math.min(MAX_OFFSET_MS, Math.max(-MAX_OFFSET_MS, adjusted)));
}
