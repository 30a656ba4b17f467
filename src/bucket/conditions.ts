/** R2's `onlyIf`, in plain form and evaluated against what is known of a key. Pure. */
import type { PlainCondition } from "../shared/protocol";

const ANY = "*";

interface Known {
  readonly etag: string;
  /** Epoch ms. */
  readonly uploaded: number;
}

/**
 * `onlyIf` of either form as plain data. A weak tag never holds for `If-Match` (strong comparison) and counts by its
 * value for `If-None-Match`. Throws what R2 throws on malformed etags.
 */
export function plainCondition(onlyIf: R2Conditional | Headers): PlainCondition {
  return onlyIf instanceof Headers ? fromHeaders(onlyIf) : fromOptions(onlyIf);
}

/** False when there is nothing to check, as in `{}` or in headers without preconditions. */
export function isConditional(condition: PlainCondition): boolean {
  const { etagMatches, etagDoesNotMatch, uploadedBefore, uploadedAfter } = condition;
  return (etagMatches ?? etagDoesNotMatch ?? uploadedBefore ?? uploadedAfter) !== undefined;
}

/** Whether the condition holds for an object, or for a key without one (`null`). */
export function conditionHolds(condition: PlainCondition, object: Known | null): boolean {
  const { etagMatches, etagDoesNotMatch, uploadedBefore, uploadedAfter } = condition;
  if (object === null) return etagMatches === undefined && uploadedAfter === undefined;
  const precise = (ms: number) => (condition.secondsGranularity === true ? Math.floor(ms / 1_000) * 1_000 : ms);
  const uploaded = precise(object.uploaded);

  // A tag that decides takes the place of the date beside it (RFC 9110, 13.2.2), as in R2.
  if (etagMatches !== undefined) {
    if (!names(etagMatches, object.etag)) return false;
  } else if (uploadedBefore !== undefined && uploaded >= precise(uploadedBefore)) {
    return false;
  }
  if (etagDoesNotMatch !== undefined) return !names(etagDoesNotMatch, object.etag);
  return uploadedAfter === undefined || uploaded > precise(uploadedAfter);
}

function names(etags: readonly string[], etag: string): boolean {
  return etags.includes(ANY) || etags.includes(etag);
}

function fromOptions(onlyIf: R2Conditional): PlainCondition {
  const { etagMatches, etagDoesNotMatch, uploadedBefore, uploadedAfter, secondsGranularity } = onlyIf;
  return {
    ...(isGiven(etagMatches) && { etagMatches: [unquoted(etagMatches)] }),
    ...(isGiven(etagDoesNotMatch) && { etagDoesNotMatch: [unquoted(etagDoesNotMatch)] }),
    ...(isGiven(uploadedBefore) && { uploadedBefore: uploadedBefore.getTime() }),
    ...(isGiven(uploadedAfter) && { uploadedAfter: uploadedAfter.getTime() }),
    ...(secondsGranularity === true && { secondsGranularity: true }),
  };
}

function isGiven<T>(value: T | null | undefined): value is T {
  return value !== undefined && value !== null;
}

function unquoted(etag: string): string {
  if (/^".*"$/s.test(etag)) throw new TypeError(`Conditional ETag should not be wrapped in quotes (${etag}).`);
  return etag;
}

function fromHeaders(headers: Headers): PlainCondition {
  const ifMatch = headers.get("if-match");
  const ifNoneMatch = headers.get("if-none-match");
  const before = dateOf(headers.get("if-unmodified-since"));
  const after = dateOf(headers.get("if-modified-since"));
  return {
    ...(ifMatch !== null && { etagMatches: etagsOf("if-match", ifMatch, false) }),
    ...(ifNoneMatch !== null && { etagDoesNotMatch: etagsOf("if-none-match", ifNoneMatch, true) }),
    ...(before !== null && { uploadedBefore: before }),
    ...(after !== null && { uploadedAfter: after }),
    secondsGranularity: true,
  };
}

/** A date that cannot be read is ignored (RFC 9110, 13.1.3). */
function dateOf(header: string | null): number | null {
  const ms = header === null ? Number.NaN : Date.parse(header);
  return Number.isNaN(ms) ? null : ms;
}

const ETAG = /\s*(?:(W\/)?"([^"]*)"|(\*))\s*(?:,|$)|\s*,/y;

function etagsOf(name: string, header: string, takesWeak: boolean): string[] {
  const etags: string[] = [];
  for (let position = 0; position < header.length; position = ETAG.lastIndex) {
    ETAG.lastIndex = position;
    const match = ETAG.exec(header);
    if (match === null) throw badEtag(name, header.slice(position));
    const [, weak, value, wildcard] = match;
    if (wildcard !== undefined) return [ANY];
    if (value !== undefined && (weak === undefined || takesWeak)) etags.push(value);
  }
  return etags;
}

function badEtag(name: string, rest: string): Error {
  const isUnclosed = /^\s*(?:W\/)?"[^"]*$/.test(rest);
  return new Error(isUnclosed ? "Unclosed double quote for Etag" : `Invalid ETag in ${name} header`);
}
