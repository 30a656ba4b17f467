/** What an error of the R2 binding means: whose fault it is, and whether the call may still land. */

/** R2's codes for what the caller did wrong: never a failure of the service, never queued, thrown on as they came. */
const CALLER_CODES: ReadonlySet<number> = new Set([
  10002, 10003, 10006, 10007, 10011, 10012, 10013, 10014, 10018, 10020, 10022, 10024, 10025, 10029, 10031, 10033, 10035,
  10037, 10039, 10042, 10048, 10054, 10069, 100100,
]);

/** One write a second per key, or the account's rate. */
const THROTTLED_CODE = 10058;

/** The code of a reply without R2's own header: something in between gave the answer. */
const UNSPECIFIED_CODE = 0;

/** Our own deadline passed while R2 owed an answer. The call may still land. */
export class R2TimeoutError extends Error {
  override readonly name = "R2TimeoutError";

  constructor(method: string, timeoutMs: number) {
    super(`${method}: no answer from R2 within ${timeoutMs} ms`);
  }
}

export interface R2ErrorVerdict {
  /** `failure`: the service's fault. `throttled`: back off and retry. `caller`: thrown on untouched. */
  readonly outcome: "failure" | "throttled" | "caller";
  readonly code: number | null;
  /** False: R2 itself did not answer (a timeout, a cut connection), so that the call may yet land. */
  readonly answered: boolean;
}

/** R2's code, out of the message's end: `put: <message> (10001)`. Null when there is none. */
export function r2Code(error: unknown): number | null {
  if (!(error instanceof Error)) return null;
  const match = /\((\d{1,6})\)\s*$/.exec(error.message);
  return match ? Number(match[1]) : null;
}

/** Unknown codes and errors without one count as the service's failure; a `TypeError` is the binding refusing an argument. */
export function classifyR2Error(error: unknown): R2ErrorVerdict {
  const code = r2Code(error);
  if (code === null) {
    if (error instanceof TypeError) return { outcome: "caller", code, answered: true };
    return { outcome: "failure", code, answered: false };
  }
  if (CALLER_CODES.has(code)) return { outcome: "caller", code, answered: true };
  if (code === THROTTLED_CODE) return { outcome: "throttled", code, answered: true };
  return { outcome: "failure", code, answered: code !== UNSPECIFIED_CODE };
}
