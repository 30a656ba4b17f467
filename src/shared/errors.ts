/** Every error code that callers can meet, with its HTTP status. */
export const ERROR_STATUS = {
  INVALID_REQUEST: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  FAULT_INJECTION_OFF: 403,
  NOT_FOUND: 404,
  UNKNOWN_SERVICE: 404,
  UNKNOWN_CONFIG: 404,
  METHOD_NOT_ALLOWED: 405,
  OPERATION_ID_REUSED: 409,
  OPERATION_FINAL: 409,
  CHANGED_SINCE: 409,
  PRECONDITION_FAILED: 412,
  PAYLOAD_TOO_LARGE: 413,
  URI_TOO_LONG: 414,
  RANGE_NOT_SATISFIABLE: 416,
  INVALID_CONFIG: 422,
  UPGRADE_REQUIRED: 426,
  HEADERS_TOO_LARGE: 431,
  QUEUE_FULL: 503,
  READ_ONLY: 503,
  SERVICE_UNAVAILABLE: 503,
  CONDITION_UNVERIFIABLE: 503,
  BODY_NOT_REPLAYABLE: 503,
  SSEC_NEEDS_ENCRYPTION: 503,
  AUTH_NOT_CONFIGURED: 503,
} as const;

export type FailoverErrorCode = keyof typeof ERROR_STATUS;

export interface FailoverErrorDetails {
  cause?: unknown;
  /** Seconds after which another try makes sense. Present on every 503 that will pass. */
  retryAfter?: number;
  /** True when the write may or may not have reached R2 (a timeout, a lost connection). */
  outcomeUnknown?: boolean;
}

/**
 * The one error family of this library. `message` is safe to show; internals are in `cause` only.
 *
 * Errors that cross a Durable Object call lose their class and own properties: objects answer with values
 * (`{ ok: false, code, … }`) instead, and the caller's side makes the error.
 */
export class FailoverError extends Error {
  override readonly name = "FailoverError";
  readonly code: FailoverErrorCode;
  readonly retryAfter: number | undefined;
  readonly outcomeUnknown: boolean;

  constructor(code: FailoverErrorCode, message: string, details: FailoverErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.retryAfter = details.retryAfter;
    this.outcomeUnknown = details.outcomeUnknown ?? false;
  }

  get status(): number {
    return ERROR_STATUS[this.code];
  }
}

export function isFailoverError(error: unknown): error is FailoverError {
  return error instanceof FailoverError;
}
