/**
 * What every key may hold, from the acknowledgements alone. Pure: no I/O, no knowledge of the system under test.
 *
 * A key is *certain* when its last write was answered: then exactly one value is right. A write that nobody answered
 * (the server was killed under it) adds a value that is right too, until a later write is answered.
 */

/** An object as it can be compared: what R2 promises of it. */
export interface StoredValue {
  readonly sha256: string;
  readonly size: number;
  /** MD5, hex: R2's etag of a single put. */
  readonly etag: string;
  readonly contentType: string;
  readonly customMetadata: Readonly<Record<string, string>>;
}

/** `null`: no object. */
export type Value = StoredValue | null;

export interface KeyHistory {
  /** Every value that is right now. Never empty. */
  readonly allowed: readonly Value[];
  /** Values that were right once, and of which an answered write came after. */
  readonly former: readonly Value[];
}

/** The history of a key before its first write. */
export const UNWRITTEN: KeyHistory = { allowed: [null], former: [] };

/** After an answered write: this value and no other. */
export function acknowledged(history: KeyHistory, value: Value): KeyHistory {
  return { allowed: [value], former: [...history.former, ...history.allowed] };
}

/** After a write that nobody answered: it may have been accepted, or not. */
export function unanswered(history: KeyHistory, value: Value): KeyHistory {
  return { allowed: [...history.allowed, value], former: history.former };
}

/**
 * `lost`: nothing is there, or what an answered write had replaced. `wrong`: something that was never written, or not
 * like this. `resurrected`: a deleted object exists. `unexplained`: an object under a key that nobody wrote.
 */
export type Fault = "lost" | "wrong" | "resurrected" | "unexplained";

export interface Finding {
  readonly key: string;
  readonly fault: Fault;
  readonly detail: string;
}

/** Compares what was found under a key with what is allowed. Null: as it should be. */
export function judge(key: string, history: KeyHistory | undefined, found: Value): Finding | null {
  if (history === undefined) {
    return found === null ? null : { key, fault: "unexplained", detail: `an object of ${found.size} bytes` };
  }
  if (history.allowed.some((value) => sameValue(value, found))) return null;
  const expected = history.allowed.filter((value) => value !== null);
  if (found === null) return { key, fault: "lost", detail: "no object" };
  const [first] = expected;
  if (first === undefined) return { key, fault: "resurrected", detail: `an object of ${found.size} bytes` };
  if (history.former.some((value) => sameValue(value, found))) {
    return { key, fault: "lost", detail: "holds an older write" };
  }
  return { key, fault: "wrong", detail: differences(first, found).join(", ") };
}

function sameValue(a: Value, b: Value): boolean {
  if (a === null || b === null) return a === b;
  return differences(a, b).length === 0;
}

/** What is different, in words. */
function differences(expected: StoredValue, found: StoredValue): string[] {
  const said: string[] = [];
  if (expected.size !== found.size) said.push(`${found.size} bytes, not ${expected.size}`);
  else if (expected.sha256 !== found.sha256) said.push("other bytes of the same length");
  if (expected.etag !== found.etag) said.push(`etag ${found.etag}, not ${expected.etag}`);
  if (expected.contentType !== found.contentType) {
    said.push(`content type ${found.contentType}, not ${expected.contentType}`);
  }
  if (!sameRecord(expected.customMetadata, found.customMetadata)) {
    const text = JSON.stringify;
    said.push(`metadata ${text(found.customMetadata)}, not ${text(expected.customMetadata)}`);
  }
  return said;
}

function sameRecord(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

export function countFaults(findings: readonly Finding[]): Record<Fault, number> {
  const counts: Record<Fault, number> = { lost: 0, wrong: 0, resurrected: 0, unexplained: 0 };
  for (const finding of findings) counts[finding.fault] += 1;
  return counts;
}
