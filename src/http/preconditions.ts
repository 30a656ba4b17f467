import { FailoverError } from "../shared/errors";

/** What the preconditions of a GET or HEAD say about an object that exists. */
export type ConditionVerdict = "proceed" | "not_modified" | "failed";

const ETAG_LIST = /^(\*|(W\/)?"[^"]*"(\s*,\s*(W\/)?"[^"]*")*)$/;
const ETAGS = ["if-match", "if-none-match"] as const;
const DATES = ["if-modified-since", "if-unmodified-since"] as const;

/**
 * The request's preconditions in the form that R2 reads, or null without any. Throws `INVALID_REQUEST` on an etag that
 * is not quoted: R2's binding throws an error without a code on it, which would look like an outage. Dates that cannot
 * be read are left out (RFC 9110 §13.1.3).
 */
export function conditionHeaders(headers: Headers): Headers | null {
  const found = new Headers();
  for (const name of ETAGS) {
    const value = headers.get(name)?.trim();
    if (value === undefined) continue;
    if (!ETAG_LIST.test(value)) {
      throw new FailoverError("INVALID_REQUEST", `${name} must be * or a list of etags in double quotes.`);
    }
    found.set(name, value);
  }
  for (const name of DATES) {
    const value = headers.get(name);
    if (value !== null && !Number.isNaN(Date.parse(value))) found.set(name, value);
  }
  return [...found.keys()].length === 0 ? null : found;
}

/** RFC 9110 §13.2.2, in its order. An etag condition makes the date beside it void. */
export function evaluate(
  conditions: Headers,
  object: { readonly etag: string; readonly uploaded: Date },
): ConditionVerdict {
  const ifMatch = conditions.get("if-match");
  const ifNoneMatch = conditions.get("if-none-match");
  const ifModifiedSince = conditions.get("if-modified-since");
  const ifUnmodifiedSince = conditions.get("if-unmodified-since");
  // HTTP dates have no milliseconds.
  const uploaded = Math.floor(object.uploaded.getTime() / 1_000) * 1_000;
  if (ifMatch !== null) {
    if (!hasEtag(ifMatch, object.etag, "strong")) return "failed";
  } else if (ifUnmodifiedSince !== null && uploaded > Date.parse(ifUnmodifiedSince)) {
    return "failed";
  }
  if (ifNoneMatch !== null) return hasEtag(ifNoneMatch, object.etag, "weak") ? "not_modified" : "proceed";
  if (ifModifiedSince !== null && uploaded <= Date.parse(ifModifiedSince)) return "not_modified";
  return "proceed";
}

/** R2 has refused: which of the two answers is it? R2 judges dates a little stricter than the RFC. */
export function refusal(
  conditions: Headers,
  object: { readonly etag: string; readonly uploaded: Date },
): "not_modified" | "failed" {
  const verdict = evaluate(conditions, object);
  if (verdict !== "proceed") return verdict;
  return conditions.has("if-unmodified-since") ? "failed" : "not_modified";
}

function hasEtag(list: string, etag: string, comparison: "strong" | "weak"): boolean {
  if (list === "*") return true;
  return [...list.matchAll(/(W\/)?"([^"]*)"/g)].some(
    ([, weak, tag]) => tag === etag && (comparison === "weak" || weak === undefined),
  );
}
