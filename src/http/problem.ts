import { classifyR2Error } from "../bucket/r2-errors";
import { ERROR_STATUS, FailoverError, type FailoverErrorCode } from "../shared/errors";
import { r2HttpStatus } from "./r2-status";

type ProblemCode = FailoverErrorCode | "R2_ERROR" | "INTERNAL";

/** An error on its way out, as a value. `detail` is safe to show. */
export interface Problem {
  readonly code: ProblemCode;
  readonly status: number;
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members of the answer, beside those of RFC 9457. */
  readonly members?: Readonly<Record<string, unknown>>;
}

/** HTTP status phrases; `type` is about:blank, so `title` must be the phrase (RFC 9457 §4.2.1). */
const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  411: "Length Required",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  416: "Range Not Satisfiable",
  422: "Unprocessable Content",
  431: "Request Header Fields Too Large",
  426: "Upgrade Required",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** 503s that no waiting cures: they need an operator. */
const LASTING: ReadonlySet<ProblemCode> = new Set(["AUTH_NOT_CONFIGURED", "SSEC_NEEDS_ENCRYPTION"]);
const DEFAULT_RETRY_AFTER_S = 5;

/** The problem of one of our own codes. Every 503 that will pass carries Retry-After (seconds). */
export function problem(
  code: FailoverErrorCode,
  detail: string,
  more: { headers?: Record<string, string>; members?: Record<string, unknown>; retryAfter?: number | undefined } = {},
): Problem {
  const status = ERROR_STATUS[code];
  const headers = { ...more.headers };
  if (status === 503 && !LASTING.has(code)) {
    headers["retry-after"] = String(Math.max(1, Math.ceil(more.retryAfter ?? DEFAULT_RETRY_AFTER_S)));
  }
  return { code, status, detail, headers, ...(more.members === undefined ? {} : { members: more.members }) };
}

/** R2's own sentence, without the method before it and the code behind it. */
function r2Sentence(message: string): string {
  const line = message.split("\n", 1)[0] ?? "";
  return line.replace(/^\w+: /, "").replace(/\s*\(\d+\)\s*$/, "");
}

/**
 * What a thrown error says to the outside. Anything unexpected is INTERNAL and shows nothing of itself; R2's own
 * sentences are for callers with a token.
 */
export function problemOf(error: unknown, isPublic: boolean): Problem {
  if (error instanceof FailoverError) {
    return problem(error.code, error.message, {
      headers: error.code === "UPGRADE_REQUIRED" ? { upgrade: "websocket" } : {},
      retryAfter: error.retryAfter,
      ...(error.outcomeUnknown ? { members: { outcome_unknown: true } } : {}),
    });
  }
  const verdict = classifyR2Error(error);
  if (verdict.code !== null && verdict.outcome === "caller") {
    return {
      code: "R2_ERROR",
      status: r2HttpStatus(verdict.code),
      detail: isPublic || !(error instanceof Error) ? "R2 refused the request." : r2Sentence(error.message),
      members: { r2_code: verdict.code },
    };
  }
  if (verdict.code !== null) return problem("SERVICE_UNAVAILABLE", "The storage does not answer as it should.");
  return {
    code: "INTERNAL",
    status: 500,
    detail: "Something went wrong on our side. The request id finds it in the log.",
  };
}

/** RFC 9457, plus `code` and `request_id`. */
export function problemResponse(found: Problem, requestId: string): Response {
  const body = {
    type: "about:blank",
    title: TITLES[found.status] ?? "Error",
    status: found.status,
    code: found.code,
    detail: found.detail,
    request_id: requestId,
    ...found.members,
  };
  return new Response(JSON.stringify(body), {
    status: found.status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store", ...found.headers },
  });
}
