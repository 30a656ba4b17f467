/** R2's `onlyIf`, in plain form and evaluated against what is known of a key. Pure. */
import type { PlainCondition } from "../shared/protocol";
import { dateOf, headerDate, structOf, wrongType } from "./r2-arguments";

const ANY = "*";
const QUOTED_ANY = '"*"';

interface Known {
  readonly etag: string;
  /** Epoch ms. */
  readonly uploaded: number;
}

/**
 * `onlyIf` of either form as plain data. A weak tag never holds for `If-Match` (strong comparison) and counts by its
 * value for `If-None-Match`. Throws what R2 throws on malformed ones.
 */
export function plainCondition(method: "put" | "get", onlyIf: R2Conditional | Headers | undefined): PlainCondition {
  const owner = method === "put" ? "PutOptions" : "GetOptions";
  const given = structOf(owner, "onlyIf", "Conditional", onlyIf);
  return given instanceof Headers ? fromHeaders(given) : fromOptions(given ?? {});
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
  const etagMatches = etagOf("etagMatches", onlyIf.etagMatches);
  const etagDoesNotMatch = etagOf("etagDoesNotMatch", onlyIf.etagDoesNotMatch);
  const uploadedBefore = dateOf("Conditional", "uploadedBefore", onlyIf.uploadedBefore);
  const uploadedAfter = dateOf("Conditional", "uploadedAfter", onlyIf.uploadedAfter);
  return {
    ...(etagMatches !== undefined && { etagMatches: [unquoted(etagMatches)] }),
    ...(etagDoesNotMatch !== undefined && { etagDoesNotMatch: [unquoted(etagDoesNotMatch)] }),
    ...(uploadedBefore !== undefined && { uploadedBefore: uploadedBefore.getTime() }),
    ...(uploadedAfter !== undefined && { uploadedAfter: uploadedAfter.getTime() }),
    ...(onlyIf.secondsGranularity && { secondsGranularity: true }),
  };
}

function etagOf(field: string, etag: string | undefined): string | undefined {
  if (etag === undefined || typeof etag === "string") return etag;
  throw wrongType("Conditional", field, "string");
}

function unquoted(etag: string): string {
  if (etag.startsWith('"') && etag.endsWith('"')) {
    throw new TypeError(`Conditional ETag should not be wrapped in quotes (${etag}).`);
  }
  return etag;
}

function fromHeaders(headers: Headers): PlainCondition {
  const ifMatch = headers.get("if-match");
  const ifNoneMatch = headers.get("if-none-match");
  const before = headers.get("if-unmodified-since");
  const after = headers.get("if-modified-since");
  return {
    ...(ifMatch !== null && { etagMatches: etagsOf("if-match", ifMatch, false) }),
    ...(ifNoneMatch !== null && { etagDoesNotMatch: etagsOf("if-none-match", ifNoneMatch, true) }),
    ...(before !== null && { uploadedBefore: headerDate(before).getTime() }),
    ...(after !== null && { uploadedAfter: headerDate(after).getTime() }),
    secondsGranularity: true,
  };
}

function etagsOf(name: string, header: string, takesWeak: boolean): string[] {
  const listed = listedEtags(header);
  if (listed.length === 0) throw new Error(`Invalid ETag in ${name} header`);
  return listed.filter(({ isWeak }) => takesWeak || !isWeak).map(({ value }) => value);
}

const INSTEAD_OF_COMMA: Readonly<Record<string, string>> = {
  "*": "wildcard character '*' instead.",
  W: "weak quotation character 'W' instead. This would otherwise indicate the start of a new weak etag.",
  '"': "double quote character '\"' instead. This would otherwise indicate the start of a new strong etag.",
};

interface Etag {
  readonly value: string;
  readonly isWeak: boolean;
}

/** The etags of a header as R2 reads it: commas as many as one likes, and only up to what cannot be an etag. */
function listedEtags(header: string): Etag[] {
  const etags: Etag[] = [];
  let needsComma = false;
  let rest = header.trimStart();
  while (rest !== "") {
    let length = 1;
    if (rest.startsWith(",")) {
      needsComma = false;
    } else {
      const start = INSTEAD_OF_COMMA[rest.charAt(0)];
      if (start === undefined) break;
      if (needsComma) throw new Error(`Comma was expected to separate etags. Encountered a ${start}`);
      if (rest.startsWith(ANY)) return [{ value: ANY, isWeak: false }];
      const etag = /^(W\/)?"([^"]*)(")?/.exec(rest);
      if (etag === null) throw new Error("Weak etags must start with W/ and their value must be quoted");
      const [all, weak, value = "", end] = etag;
      if (end === undefined) throw new Error("Unclosed double quote for Etag");
      // In quotes the wildcard is an etag like others, which no object has.
      etags.push({ value: value === ANY ? QUOTED_ANY : value, isWeak: weak !== undefined });
      needsComma = true;
      length = all.length;
    }
    rest = rest.slice(length).trimStart();
  }
  return etags;
}
