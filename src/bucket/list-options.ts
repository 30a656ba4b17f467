/** `R2ListOptions` in plain form. Pure. Throws what R2's binding, and R2, throw on bad ones, in their order. */

const MAX_LIMIT = 1_000;
/** R2 gives shorter pages where metadata is included; this is what local R2 gives. */
const MAX_LIMIT_WITH_METADATA = 100;
/** The binding's mark for "no limit given". */
const NO_LIMIT = -1;
const [INT32_MIN, INT32_MAX] = [-(2 ** 31), 2 ** 31 - 1];

/** Options of ours, beside R2's. */
export interface ListOptions {
  /**
   * While R2 cannot be listed: list what is queued alone, and mark the result `partial`. Without it such a list is
   * refused with `SERVICE_UNAVAILABLE`, because it would leave out what only R2 knows.
   */
  readonly allowPartial?: boolean;
}

/** Which metadata the listed objects carry. */
export interface Included {
  readonly http: boolean;
  readonly custom: boolean;
}

export interface ListQuery {
  readonly prefix: string;
  /** Empty: keys are not grouped. */
  readonly delimiter: string;
  /** Objects and delimited prefixes of one page. */
  readonly limit: number;
  /** Empty: from the first key on. */
  readonly startAfter: string;
  readonly cursor: string | null;
  readonly include: Included;
}

export function listQuery(options: R2ListOptions | null | undefined): ListQuery {
  if (!isDictionary(options ?? undefined)) {
    throw new TypeError("Failed to execute 'list' on 'R2Bucket': parameter 1 is not of type 'ListOptions'.");
  }
  const { limit, prefix, cursor, delimiter, startAfter, include } = options ?? {};
  const wanted = limit === undefined ? NO_LIMIT : int32(limit);
  const query = {
    prefix: text("prefix", prefix),
    cursor: text("cursor", cursor) || null,
    delimiter: text("delimiter", delimiter),
    startAfter: text("startAfter", startAfter),
    include: included(include),
  };
  if (wanted !== NO_LIMIT && (wanted < 1 || wanted > MAX_LIMIT)) {
    throw new Error("list: MaxKeys params must be positive integer <= 1000. (10022)");
  }
  const most = query.include.http || query.include.custom ? MAX_LIMIT_WITH_METADATA : MAX_LIMIT;
  return { ...query, limit: wanted === NO_LIMIT ? most : Math.min(wanted, most) };
}

function isDictionary(value: unknown): boolean {
  return value === undefined || typeof value === "object" || typeof value === "function";
}

/** As the binding converts numbers. Throws its `TypeError`s. */
function int32(value: unknown): number {
  if (typeof value === "bigint") throw new TypeError("Cannot convert a BigInt value to a number");
  const number = Number(value);
  if (!Number.isFinite(number)) return 0;
  if (number < INT32_MIN || number > INT32_MAX) {
    throw new TypeError(`Value out of range. Must be between ${INT32_MIN} and ${INT32_MAX} (inclusive).`);
  }
  return Math.trunc(number);
}

function text(field: string, value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value.toWellFormed();
  throw new TypeError(
    `Incorrect type for the '${field}' field on 'ListOptions': the provided value is not of type 'string'.`,
  );
}

function included(value: unknown): Included {
  if (value === undefined) return { http: false, custom: false };
  if (!Array.isArray(value)) {
    throw new TypeError(
      "Incorrect type for the 'include' field on 'ListOptions': the provided value is not of type 'Array'.",
    );
  }
  const names: unknown[] = value;
  const strange = names.findIndex((name) => typeof name !== "string");
  if (strange >= 0) {
    throw new TypeError(`Incorrect type for array element ${strange}: the provided value is not of type 'string'.`);
  }
  const unknown = names.find((name) => name !== "httpMetadata" && name !== "customMetadata");
  if (unknown !== undefined) throw new RangeError(`Unsupported include value ${String(unknown)}`);
  return { http: names.includes("httpMetadata"), custom: names.includes("customMetadata") };
}
