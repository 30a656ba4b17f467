/** Calls of the binding, and what can be seen of their answers. The same code asks both buckets. */

import { toHex } from "../../src/bucket/put-options";
import type { BODY_READERS } from "./spec";

export type Observation =
  /** `value` as JSON, so that equal ones are equal texts. `isQueued` is told by our bucket alone. */
  | { readonly kind: "answered"; readonly value: string; readonly isQueued: boolean }
  /** R2's own error. */
  | { readonly kind: "threw"; readonly error: string }
  /** A refusal that only our bucket knows. `isUnknown`: the write may yet have taken effect. */
  | { readonly kind: "refused"; readonly code: string; readonly isUnknown: boolean }
  /** A body ended in an error. */
  | { readonly kind: "broke"; readonly error: string };

/** The value of a put whose condition did not hold. */
const NOTHING = "null";

export function isSame(native: Observation, told: Observation): boolean {
  if (native.kind === "answered") return told.kind === "answered" && told.value === native.value;
  return native.kind === "threw" && told.kind === "threw" && native.error === told.error;
}

/** A put whose condition failed answers null. */
export function hasWritten(answer: Observation | undefined): boolean {
  return answer?.kind === "answered" && answer.value !== NOTHING;
}

class BrokenBody extends Error {}

/** What a call answers, throws or refuses. */
export async function observe(call: () => Promise<unknown>): Promise<Observation> {
  try {
    const value = await call();
    return { kind: "answered", value: JSON.stringify(value ?? null), isQueued: isQueued(value) };
  } catch (error) {
    if (error instanceof BrokenBody) return { kind: "broke", error: error.message };
    if (!isRefusal(error)) return { kind: "threw", error: String(error) };
    return { kind: "refused", code: error.code, isUnknown: error.outcomeUnknown };
  }
}

/** By its name: each isolate has a class of its own. */
function isRefusal(error: unknown): error is { readonly code: string; readonly outcomeUnknown: boolean } {
  return error instanceof Error && error.name === "FailoverError";
}

const QUEUED = Symbol("queued");

function isQueued(value: unknown): boolean {
  return typeof value === "object" && value !== null && QUEUED in value;
}

/**
 * An object's properties, apart from those that differ by nature: `uploaded`, `version`, and `storageClass`, which local
 * R2 leaves empty. `at`: the key that was asked for, which is not the same for the states of a native twin.
 */
export function described(object: R2Object | null, at: string): object | null {
  return object === null ? null : facts(object, object.key === at ? "its key" : object.key);
}

/** A page, apart from its cursor. */
export function describedPage({ objects, delimitedPrefixes, truncated }: R2Objects): object {
  return { objects: objects.map((object) => facts(object, object.key)), delimitedPrefixes, truncated };
}

function facts(object: R2Object, key: string): object {
  const { size, etag, httpEtag, httpMetadata, customMetadata, range } = object;
  const headers = new Headers();
  object.writeHttpMetadata(headers);
  return {
    ...{ key, size, etag, httpEtag, range: sorted(range) },
    ...{ checksums: sorted(object.checksums.toJSON()), http: sorted(httpMetadata), custom: sorted(customMetadata) },
    headers: [...headers],
    ...("queued" in object && { [QUEUED]: true }),
  };
}

/** The properties of what `get` answered, and its body, read by one of its methods. */
export async function describedWithBody(
  object: R2Object | R2ObjectBody | null,
  at: string,
  reader: (typeof BODY_READERS)[number],
): Promise<object | null> {
  if (object === null || !("body" in object)) return described(object, at);
  const properties = described(object, at);
  try {
    return { ...properties, body: await readBody(object, reader) };
  } catch (error) {
    throw new BrokenBody(String(error));
  }
}

async function readBody(object: R2ObjectBody, reader: (typeof BODY_READERS)[number]): Promise<string> {
  switch (reader) {
    case "text":
      return printed(new TextEncoder().encode(await object.text()));
    case "bytes":
      return printed(await object.bytes());
    case "arrayBuffer":
      return printed(new Uint8Array(await object.arrayBuffer()));
    case "blob": {
      const blob = await object.blob();
      return `${blob.type} ${await printed(new Uint8Array(await blob.arrayBuffer()))}`;
    }
    case "body":
      return printed(new Uint8Array(await new Response(object.body).arrayBuffer()));
  }
}

async function printed(bytes: Uint8Array): Promise<string> {
  return `${bytes.byteLength} bytes, ${toHex(await crypto.subtle.digest("MD5", bytes))}`;
}

function sorted(record: object | undefined): [string, unknown][] {
  return Object.entries(record ?? {})
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
