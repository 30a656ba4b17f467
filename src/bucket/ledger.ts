/**
 * Who wrote what R2 holds? One function decides it, for the drain and for reads.
 *
 * R2 cannot be asked "did my call land", and equal bytes have equal etags whoever wrote them. What can be compared is
 * the version (for writes whose reply arrived), else the fingerprint together with the time of the call.
 */
import type { Ledger } from "../shared/protocol";

/** R2's clock and ours are compared with this much doubt, ms, when a fingerprint already matches. */
const CLOCK_DOUBT_MS = 1_000;

interface Content {
  readonly etag: string;
  readonly size: number;
  readonly httpMetadata?: R2HTTPMetadata | undefined;
  readonly customMetadata?: Readonly<Record<string, string>> | undefined;
}

/**
 * Identifies an object's content: `<etag>:<size>:<hash of its metadata>`. Equal bytes with other metadata are another
 * write. The metadata is hashed (FNV-1a, two seeds) because fingerprints are stored in clear beside encrypted payloads.
 */
export function fingerprintOf(content: Content): string {
  const http = Object.entries(content.httpMetadata ?? {})
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => [name, value instanceof Date ? value.getTime() : String(value)] as const);
  const custom = Object.entries(content.customMetadata ?? {});
  const text = JSON.stringify([sorted(http), sorted(custom)]);
  return `${content.etag}:${content.size}:${fnv1a(text, 0x811c9dc5)}${fnv1a(text, 0x9747b28c)}`;
}

/**
 * Stands for the fingerprints of all objects of so many parts: for a completion whose bytes nobody here knows, or whose
 * etag R2 makes of a customer's key. Nothing but a multipart upload makes an etag that ends like this.
 */
export function fingerprintOfParts(count: number): string {
  return `${ANY_PARTS}${count}`;
}

const ANY_PARTS = "*-";

function isLike(fingerprint: string, known: string | null): boolean {
  if (!known?.startsWith(ANY_PARTS)) return fingerprint === known;
  const etag = fingerprint.slice(0, fingerprint.indexOf(":"));
  return etag.endsWith(known.slice(1));
}

function sorted<V>(entries: readonly (readonly [string, V])[]): readonly (readonly [string, V])[] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function fnv1a(text: string, seed: number): string {
  let hash = seed;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

export interface ClassifiedOperation {
  /** R2 writes before this (objects' clock, ms) are older than the operation. */
  readonly fenceAt: number;
  /** When a call that carried the operation's bytes to R2 first began; null: none yet. */
  readonly firstCallAt: number | null;
  /** Null for a delete. */
  readonly fingerprint: string | null;
}

export interface ClassifiedObject {
  readonly version: string;
  readonly uploaded: Date;
  readonly fingerprint: string;
}

/**
 * - `absent`: R2 holds nothing.
 * - `ours`: this operation's own write, whose reply was lost.
 * - `ours_earlier`: the queue's write of an earlier operation.
 * - `late_landing`: a call that was given up, and that we know of.
 * - `older`: written before the operation.
 * - `newer`: a direct write that came after it.
 */
export type Classification = "absent" | "ours" | "ours_earlier" | "late_landing" | "older" | "newer";

/** Classifies what R2 holds against a queued operation of the same key. */
export function classifyObject(
  operation: ClassifiedOperation,
  object: ClassifiedObject | null,
  ledger: Ledger,
): Classification {
  if (object === null) return "absent";
  const uploaded = object.uploaded.getTime() - ledger.clockOffsetMs;
  const couldBe = (fingerprint: string | null, startedAt: number) =>
    isLike(object.fingerprint, fingerprint) && uploaded >= startedAt - CLOCK_DOUBT_MS;

  if (operation.firstCallAt !== null && couldBe(operation.fingerprint, operation.firstCallAt)) return "ours";
  if (ledger.appliedVersions.includes(object.version)) return "ours_earlier";
  if (ledger.unknownPuts.some((put) => couldBe(put.fingerprint, put.startedAt))) return "late_landing";
  return uploaded < operation.fenceAt ? "older" : "newer";
}

/** The fence of an operation in R2's clock: a put passes over what was uploaded strictly before it. */
export function fenceDate(fenceAt: number, clockOffsetMs: number): Date {
  return new Date(fenceAt + clockOffsetMs);
}
