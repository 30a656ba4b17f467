/** The arguments of R2's methods that a program's words stand for. */
import { toHex } from "../../src/bucket/put-options";
import type { ChecksumAlgorithm } from "../../src/shared/protocol";
import type { ConditionSpec, ListSpec, PutSpec, RangeSpec, Tag, UploadSpec } from "./spec";

/** The etags that a key has, and has had. */
export interface KnownTags {
  readonly current: string | null;
  readonly earlier: string | null;
}

export const UNKNOWN_TAG = "0123456789abcdef0123456789abcdef";
const DATES = { past: new Date("2001-02-03T04:05:06Z"), future: new Date("2101-02-03T04:05:06Z") } as const;

function etagOf(tag: Tag, known: KnownTags): string {
  switch (tag) {
    case "current":
      return known.current ?? UNKNOWN_TAG;
    case "earlier":
      return known.earlier ?? UNKNOWN_TAG;
    case "unknown":
      return UNKNOWN_TAG;
    case "any":
      return "*";
  }
}

export function conditionOf(spec: ConditionSpec, known: KnownTags): R2Conditional | Headers {
  const { form, before, after, seconds } = spec;
  const [matches, differs] = [spec.matches, spec.differs].map((tags) => tags.map((tag) => etagOf(tag, known))) as [
    string[],
    string[],
  ];
  if (form === "object") {
    return {
      ...(matches[0] !== undefined && { etagMatches: matches[0] }),
      ...(differs[0] !== undefined && { etagDoesNotMatch: differs[0] }),
      ...(before !== null && { uploadedBefore: DATES[before] }),
      ...(after !== null && { uploadedAfter: DATES[after] }),
      ...(seconds && { secondsGranularity: true }),
    };
  }
  const list = (etags: string[]) => etags.map((etag) => (etag === "*" ? etag : `"${etag}"`)).join(", ");
  return new Headers({
    ...(matches.length > 0 && { "if-match": list(matches) }),
    ...(differs.length > 0 && { "if-none-match": list(differs) }),
    ...(before !== null && { "if-unmodified-since": DATES[before].toUTCString() }),
    ...(after !== null && { "if-modified-since": DATES[after].toUTCString() }),
  });
}

export function rangeOf({ form, offset, length, suffix }: RangeSpec): R2Range | Headers {
  if (form === "headers") {
    const from = offset ?? 0;
    const text = suffix === null ? `${from}-${length === null ? "" : from + length - 1}` : `-${suffix}`;
    return new Headers({ range: `bytes=${text}` });
  }
  if (suffix !== null) return { suffix };
  return { ...(offset !== null && { offset }), ...(length !== null && { length }) } as R2Range;
}

/** `below`: the prefix of all keys. */
export function listOptionsOf(spec: ListSpec, below: string, cursor: string | null): R2ListOptions {
  const { prefix, delimiter, limit, startAfter, include } = spec;
  return {
    prefix: below + prefix,
    ...(delimiter !== null && { delimiter }),
    ...(limit !== null && { limit }),
    ...(startAfter !== null && { startAfter: below + startAfter }),
    ...(include !== null && { include: [...include] }),
    ...(cursor !== null && { cursor }),
  };
}

const EXPIRES = new Date("2030-01-02T03:04:05Z");
const SUBTLE: Readonly<Record<ChecksumAlgorithm, string>> = {
  md5: "MD5",
  sha1: "SHA-1",
  sha256: "SHA-256",
  sha384: "SHA-384",
  sha512: "SHA-512",
};

/** As of a put, which has a checksum too. */
export function uploadOptionsOf({ http, custom, storageClass }: UploadSpec, id: string): R2MultipartOptions {
  return {
    ...httpMetadataOf(http, id),
    ...customMetadataOf(custom, id),
    ...(storageClass !== null && { storageClass }),
  };
}

/** `id` tells one write from another where the metadata are to do so. */
export async function putOptionsOf(spec: PutSpec, id: string, bytes: Uint8Array): Promise<R2PutOptions> {
  return {
    ...httpMetadataOf(spec.http, id),
    ...customMetadataOf(spec.custom, id),
    ...(spec.checksum !== null && (await checksumOf(spec.checksum, bytes))),
    ...(spec.storageClass !== null && { storageClass: spec.storageClass }),
  };
}

function httpMetadataOf(http: PutSpec["http"], id: string): Pick<R2PutOptions, "httpMetadata"> {
  switch (http) {
    case "none":
      return {};
    case "object":
      return { httpMetadata: { contentType: `text/${id}` } };
    case "headers":
      return { httpMetadata: new Headers({ "content-type": "a/b", expires: EXPIRES.toUTCString(), "x-other": id }) };
    case "all":
      return {
        httpMetadata: {
          contentType: "text/plain;charset=utf-8",
          contentLanguage: "de",
          contentDisposition: 'attachment; filename="a.txt"',
          contentEncoding: "identity",
          cacheControl: "no-store",
          cacheExpiry: EXPIRES,
        },
      };
  }
}

function customMetadataOf(custom: PutSpec["custom"], id: string): Pick<R2PutOptions, "customMetadata"> {
  switch (custom) {
    case "none":
      return {};
    case "id":
      return { customMetadata: { id } };
    case "unicode":
      return { customMetadata: { Größe: "ä😀", b: "2", a: id } };
    case "too_large":
      return { customMetadata: { id, long: "x".repeat(8_192) } };
  }
}

async function checksumOf(
  { algorithm, form }: NonNullable<PutSpec["checksum"]>,
  bytes: Uint8Array,
): Promise<Partial<Record<ChecksumAlgorithm, ArrayBuffer | string>>> {
  const digest = await crypto.subtle.digest(SUBTLE[algorithm], bytes);
  switch (form) {
    case "hex":
      return { [algorithm]: toHex(digest) };
    case "bytes":
      return { [algorithm]: digest };
    case "wrong":
      return { [algorithm]: toHex(new Uint8Array(digest.byteLength)) };
  }
}
