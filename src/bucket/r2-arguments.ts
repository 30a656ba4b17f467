/**
 * What R2's binding makes of arguments that its types forbid, but that JavaScript hands over all the same: it converts
 * them as WebIDL has it, or refuses them. Pure. The words are the binding's (workerd, jsg), for the queued path, where
 * nobody asks the binding.
 */

/** A key or a text: anything is converted. */
export function textOf(value: string): string {
  return String(value);
}

type Method = "put" | "get";
const OPTIONS: Readonly<Record<Method, { readonly position: number; readonly type: string }>> = {
  put: { position: 3, type: "PutOptions" },
  get: { position: 2, type: "GetOptions" },
};

export function checkOptions(method: Method, options: object): void {
  if (isObject(options)) return;
  const { position, type } = OPTIONS[method];
  throw new TypeError(`Failed to execute '${method}' on 'R2Bucket': parameter ${position} is not of type '${type}'.`);
}

export function isObject(value: unknown): boolean {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** A field that may be an object or Headers. Null counts as missing. */
export function structOf<T>(owner: string, field: string, type: string, value: T | undefined): T | undefined {
  if (value === undefined || value === null) return undefined;
  if (isObject(value)) return value;
  throw wrongType(owner, field, `${type} or Headers`);
}

/** A date, or its ms. */
export function dateOf(owner: string, field: string, value: Date | undefined): Date | undefined {
  if (value === undefined) return undefined;
  const date = typeof value === "number" ? new Date(value) : value;
  if (!(date instanceof Date)) throw wrongType(owner, field, "date");
  if (Number.isNaN(date.getTime()))
    throw new TypeError("The value cannot be converted because it is not a valid Date.");
  return date;
}

/** A header's date; one that cannot be read is the epoch. */
export function headerDate(header: string): Date {
  const ms = Date.parse(header);
  return new Date(Number.isNaN(ms) ? 0 : ms);
}

export function wrongType(owner: string, field: string, type: string): TypeError {
  return new TypeError(
    `Incorrect type for the '${field}' field on '${owner}': the provided value is not of type '${type}'.`,
  );
}
