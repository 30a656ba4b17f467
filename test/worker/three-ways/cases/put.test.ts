/** `put` with options of every kind. */
import { md5Of, pattern } from "../../bucket/world";
import { anything, badKey, type Case, describeCases, describeDrain } from "../ways";

type Value = Parameters<R2Bucket["put"]>[1];

/** What a put answers, and what is read of it then. */
const written = async (bucket: R2Bucket, key: string, value: Value, options?: R2PutOptions) => [
  await bucket.put(key, value, options),
  await bucket.get(key),
];

const encoded = (text: string) => new TextEncoder().encode(text);

function fixed(bytes: Uint8Array, length = bytes.byteLength): ReadableStream {
  const { readable, writable } = new FixedLengthStream(length);
  const writer = writable.getWriter();
  writer
    .write(bytes)
    .then(() => writer.close())
    .catch(() => undefined);
  return readable;
}

const values: readonly { name: string; value: () => Value }[] = [
  { name: "text", value: () => "text" },
  { name: "text beyond ASCII", value: () => "ä€\u{1F980}" },
  { name: "text with half of a pair", value: () => "a\ud800b" },
  { name: "an empty text", value: () => "" },
  { name: "null", value: () => null },
  { name: "undefined", value: () => anything(undefined) },
  { name: "an ArrayBuffer", value: () => new Uint8Array([1, 2, 3]).buffer },
  { name: "an empty ArrayBuffer", value: () => new ArrayBuffer(0) },
  { name: "a view of a part", value: () => encoded("a view of more").subarray(2, 6) },
  { name: "a DataView", value: () => new DataView(encoded("a view of more").buffer, 2, 4) },
  { name: "numbers of two bytes", value: () => new Uint16Array([1, 2, 3]) },
  { name: "a Blob", value: () => new Blob(["a", "b"], { type: "text/blob" }) },
  { name: "an empty Blob", value: () => new Blob([]) },
  { name: "a stream of known length", value: () => fixed(encoded("stream")) },
  { name: "a response's body", value: () => new Response("response").body },
  { name: "a request's body", value: () => new Request("http://a", { method: "POST", body: "request" }).body },
  { name: "5,000 bytes", value: () => pattern(5_000) },
  { name: "1 MiB and a byte", value: () => pattern(1_048_577) },
  { name: "a stream of 1.5 MiB", value: () => fixed(pattern(1_572_864)) },
  { name: "a stream of unknown length", value: () => new Blob(["a"]).stream().pipeThrough(new TransformStream()) },
  { name: "a stream that is read already", value: () => locked() },
  { name: "a stream that is shorter than it says", value: () => fixed(encoded("short"), 9) },
  { name: "a number", value: () => anything(1) },
  { name: "an object", value: () => anything({ a: 1 }) },
  { name: "an array", value: () => anything([1, 2]) },
];

function locked(): ReadableStream {
  const stream = fixed(encoded("locked"));
  stream.getReader();
  return stream;
}

describeCases(
  "put a value:",
  values.map(({ name, value }) => ({ name, run: (bucket, key) => written(bucket, key, value()) })),
);

const expires = new Date("2030-01-01T00:00:00Z");
const options: readonly { name: string; options: () => R2PutOptions | undefined; stricter?: unknown }[] = [
  { name: "none", options: () => undefined },
  { name: "null", options: () => anything(null) },
  { name: "empty", options: () => ({}) },
  { name: "a text", options: () => anything("x") },
  { name: "a number", options: () => anything(1) },
  { name: "unknown ones", options: () => anything({ unknown: 1, queued: true }) },
  {
    name: "all HTTP metadata",
    options: () => ({
      httpMetadata: {
        contentType: "text/html; charset=utf-8",
        contentLanguage: "de",
        contentDisposition: 'attachment; filename="a.txt"',
        contentEncoding: "gzip",
        cacheControl: "no-store",
        cacheExpiry: expires,
      },
    }),
  },
  { name: "HTTP metadata beyond ASCII", options: () => ({ httpMetadata: { contentDisposition: "ä€" } }) },
  { name: "empty HTTP metadata", options: () => ({ httpMetadata: { contentType: "" } }) },
  { name: "HTTP metadata null", options: () => ({ httpMetadata: anything(null) }) },
  { name: "HTTP metadata of nulls", options: () => ({ httpMetadata: anything({ contentType: null }) }) },
  { name: "HTTP metadata that is no text", options: () => ({ httpMetadata: anything({ contentType: 1 }) }) },
  { name: "unknown HTTP metadata", options: () => ({ httpMetadata: anything({ contentKind: "x" }) }) },
  { name: "HTTP metadata of a text", options: () => ({ httpMetadata: anything("text/plain") }) },
  { name: "a cache expiry that is no date", options: () => ({ httpMetadata: { cacheExpiry: new Date(Number.NaN) } }) },
  { name: "a cache expiry as text", options: () => ({ httpMetadata: anything({ cacheExpiry: "2030-01-01" }) }) },
  { name: "a cache expiry as a number", options: () => ({ httpMetadata: anything({ cacheExpiry: 1e12 }) }) },
  {
    name: "headers",
    options: () => ({
      httpMetadata: new Headers({
        "content-type": "text/plain",
        "content-language": "de",
        "content-disposition": "inline",
        "content-encoding": "br",
        "cache-control": "max-age=1",
        expires: expires.toUTCString(),
        "x-other": "1",
      }),
    }),
  },
  { name: "headers without any of it", options: () => ({ httpMetadata: new Headers({ "x-other": "1" }) }) },
  { name: "headers with an unreadable date", options: () => ({ httpMetadata: new Headers({ expires: "soon" }) }) },
  { name: "custom metadata", options: () => ({ customMetadata: { a: "1", UPPER: "2", "with space": "3" } }) },
  { name: "custom metadata beyond ASCII", options: () => ({ customMetadata: { ä: "€", "\u{1F980}": "\u{1F980}" } }) },
  { name: "empty custom metadata", options: () => ({ customMetadata: { "": "", a: "" } }) },
  { name: "custom metadata null", options: () => ({ customMetadata: anything(null) }) },
  { name: "custom metadata in an array", options: () => ({ customMetadata: anything(["a"]) }) },
  { name: "custom metadata in a text", options: () => ({ customMetadata: anything("a") }) },
  { name: "custom metadata of no texts", options: () => ({ customMetadata: anything({ a: 1, b: true, c: null }) }) },
  { name: "custom metadata with line breaks", options: () => ({ customMetadata: { a: "b\r\nc" } }) },
  { name: "custom metadata of 8,192 bytes", options: () => ({ customMetadata: { a: "x".repeat(8_191) } }) },
  { name: "custom metadata of 8,193 bytes", options: () => ({ customMetadata: { a: "x".repeat(8_192) } }) },
  {
    name: "custom metadata of 8,193 bytes, not letters",
    options: () => ({ customMetadata: { ab: `${"ä".repeat(4_095)}b` } }),
    stricter: { error: "Error: put: Your metadata headers exceed the maximum allowed metadata size. (10012)" },
  },
  { name: "the storage class Standard", options: () => ({ storageClass: "Standard" }) },
  { name: "the storage class InfrequentAccess", options: () => ({ storageClass: "InfrequentAccess" }) },
  { name: "an unknown storage class", options: () => ({ storageClass: "Cold" }) },
  { name: "a customer's key that is too short", options: () => ({ ssecKey: "ab" }) },
  { name: "a customer's key that is a number", options: () => ({ ssecKey: anything(1) }) },
  { name: "a customer's key that is null", options: () => ({ ssecKey: anything(null) }) },
  { name: "a customer's key that is no hex", options: () => ({ ssecKey: "x".repeat(64) }) },
  { name: "a customer's key of 31 bytes", options: () => ({ ssecKey: new ArrayBuffer(31) }) },
];

describeCases(
  "put with options:",
  options.map(
    ({ name, options: given, stricter }): Case => ({
      name,
      run: (bucket, key) => written(bucket, key, "value", given()),
      ...(stricter !== undefined && { stricter }),
    }),
  ),
);

const ALGORITHMS = { md5: "MD5", sha1: "SHA-1", sha256: "SHA-256", sha384: "SHA-384", sha512: "SHA-512" } as const;
type Algorithm = keyof typeof ALGORITHMS;
const body = encoded("value");
const digest = (algorithm: Algorithm) => crypto.subtle.digest(ALGORITHMS[algorithm], body);
const hex = async (algorithm: Algorithm) =>
  [...new Uint8Array(await digest(algorithm))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const checksums: readonly { name: string; options: () => Promise<R2PutOptions> }[] = [
  ...(Object.keys(ALGORITHMS) as Algorithm[]).flatMap((algorithm) => [
    { name: `${algorithm} as hex`, options: async () => ({ [algorithm]: await hex(algorithm) }) },
    { name: `${algorithm} as a buffer`, options: async () => ({ [algorithm]: await digest(algorithm) }) },
    { name: `${algorithm} as a view`, options: async () => ({ [algorithm]: new Uint8Array(await digest(algorithm)) }) },
    { name: `${algorithm}, wrong`, options: async () => ({ [algorithm]: (await hex(algorithm)).replace(/./g, "0") }) },
    { name: `${algorithm}, too short`, options: async () => ({ [algorithm]: "00" }) },
    { name: `${algorithm}, a short buffer`, options: async () => ({ [algorithm]: new ArrayBuffer(3) }) },
    { name: `${algorithm}, no hex`, options: async () => ({ [algorithm]: (await hex(algorithm)).replace(/./g, "x") }) },
  ]),
  { name: "in capitals", options: async () => ({ md5: (await hex("md5")).toUpperCase() }) },
  { name: "two, the first of them bad", options: async () => ({ md5: "x", sha1: await hex("sha1") }) },
  { name: "two", options: async () => ({ md5: await hex("md5"), sha1: await hex("sha1") }) },
  { name: "empty", options: async () => ({ md5: "" }) },
  { name: "null", options: async () => ({ md5: anything(null), sha1: await hex("sha1") }) },
  { name: "a number", options: async () => ({ md5: anything(1) }) },
];

describeCases(
  "put with a checksum:",
  checksums.map(({ name, options: given }) => ({
    name,
    run: async (bucket, key) => written(bucket, key, body, await given()),
  })),
);

describeCases("put over what is there:", [
  {
    name: "all of it is replaced",
    run: async (bucket, key) => [
      await bucket.put(key, "old", { customMetadata: { a: "1" }, httpMetadata: { contentType: "text/old" } }),
      await written(bucket, key, "new", { customMetadata: { b: "2" } }),
    ],
  },
  {
    name: "with equal bytes",
    run: async (bucket, key) => [await written(bucket, key, "same"), await written(bucket, key, "same")],
  },
  {
    name: "after a delete",
    run: async (bucket, key) => [
      await written(bucket, key, "old"),
      await bucket.delete(key),
      await bucket.get(key),
      await written(bucket, key, "new"),
    ],
  },
]);

const etag = await md5Of(encoded("old"));
const past = new Date(Date.now() - 3_600_000);
const future = new Date(Date.now() + 3_600_000);
const conditions: readonly { name: string; onlyIf: R2Conditional | Headers }[] = [
  { name: "none", onlyIf: {} },
  { name: "null ones", onlyIf: anything({ etagMatches: null, uploadedBefore: null }) },
  { name: "its etag", onlyIf: { etagMatches: etag } },
  { name: "another etag", onlyIf: { etagMatches: "x" } },
  { name: "any etag", onlyIf: { etagMatches: "*" } },
  { name: "its etag in quotes", onlyIf: { etagMatches: `"${etag}"` } },
  { name: "not its etag", onlyIf: { etagDoesNotMatch: etag } },
  { name: "not another etag", onlyIf: { etagDoesNotMatch: "x" } },
  { name: "no object", onlyIf: { etagDoesNotMatch: "*" } },
  { name: "before the past", onlyIf: { uploadedBefore: past } },
  { name: "before the future", onlyIf: { uploadedBefore: future } },
  { name: "after the past", onlyIf: { uploadedAfter: past } },
  { name: "after the future", onlyIf: { uploadedAfter: future } },
  { name: "after the past, in seconds", onlyIf: { uploadedAfter: past, secondsGranularity: true } },
  { name: "its etag, and before the past", onlyIf: { etagMatches: etag, uploadedBefore: past } },
  { name: "not another etag, and after the future", onlyIf: { etagDoesNotMatch: "x", uploadedAfter: future } },
  { name: "a date that is none", onlyIf: { uploadedBefore: new Date(Number.NaN) } },
  { name: "a date as text", onlyIf: anything({ uploadedBefore: "2030-01-01" }) },
  { name: "a date as a number", onlyIf: anything({ uploadedBefore: 1 }) },
  { name: "a number for an etag", onlyIf: anything({ etagMatches: 1 }) },
  { name: "an empty etag", onlyIf: { etagMatches: "" } },
  { name: "a quote for an etag", onlyIf: { etagMatches: '"' } },
  { name: "a text", onlyIf: anything("x") },
  { name: "null", onlyIf: anything(null) },
  ...["if-match", "if-none-match"].flatMap((header) =>
    [
      ...[`"${etag}"`, `W/"${etag}"`, `"x", "${etag}"`, `"x",, "${etag}",`, `"${etag}"; "x"`, `"${etag}" "x"`],
      ...["*", '"*"', "*, x", '"x", *', '"x" *', "**", '"x"', '"x', "x", "W/x", 'w/"x"', "", " ", ","],
    ].map((value) => ({
      name: `the header ${header}: ${value.replace(etag, "its etag")}`,
      onlyIf: new Headers({ [header]: value }),
    })),
  ),
  { name: "the header if-unmodified-since, past", onlyIf: new Headers({ "if-unmodified-since": past.toUTCString() }) },
  {
    name: "the header if-unmodified-since, future",
    onlyIf: new Headers({ "if-unmodified-since": future.toUTCString() }),
  },
  { name: "the header if-modified-since, past", onlyIf: new Headers({ "if-modified-since": past.toUTCString() }) },
  { name: "the header if-modified-since, future", onlyIf: new Headers({ "if-modified-since": future.toUTCString() }) },
  { name: "the header if-unmodified-since, unreadable", onlyIf: new Headers({ "if-unmodified-since": "soon" }) },
  { name: "the header if-modified-since, unreadable", onlyIf: new Headers({ "if-modified-since": "soon" }) },
  { name: "other headers", onlyIf: new Headers({ accept: "a/b" }) },
];

describeCases(
  "put, if",
  conditions.map(({ name, onlyIf }) => ({
    name,
    run: async (bucket, key) => {
      await bucket.put(key, "old", { customMetadata: { a: "1" } });
      return [await bucket.put(key, "new", { onlyIf }), await bucket.get(key)];
    },
  })),
);

describeCases("put on a key of which nothing is queued, if", [
  {
    name: "there is nothing",
    run: (bucket, key) => bucket.put(key, "new", { onlyIf: { etagDoesNotMatch: "*" } }),
    differs: "condition",
  },
  {
    name: "there is something",
    run: (bucket, key) => bucket.put(key, "new", { onlyIf: new Headers({ "if-match": "*" }) }),
    differs: "condition",
  },
]);

describeCases("put with a customer's key", [
  {
    name: "as hex",
    run: (bucket, key) => bucket.put(key, "secret", { ssecKey: "ab".repeat(32) }),
    differs: "customerKey",
  },
  {
    name: "as bytes",
    run: (bucket, key) => bucket.put(key, "secret", { ssecKey: new ArrayBuffer(32) }),
    differs: "customerKey",
  },
]);

const keys: readonly { name: string; key: unknown; stricter?: unknown }[] = [
  { name: "empty", key: "", stricter: { error: badKey("put") } },
  { name: "of 1,024 bytes", key: "k".repeat(1_024) },
  { name: "of 1,025 bytes", key: "k".repeat(1_025) },
  { name: "of 1,025 bytes, not letters", key: `${"ä".repeat(512)}k` },
  { name: "with half of a pair", key: "a\ud800", stricter: { error: badKey("put") } },
  { name: "with slashes and dots", key: "/a//../b/./" },
  { name: "beyond ASCII", key: "ä/€/\u{1F980}/\u0301" },
  { name: "with control characters", key: "a\u0000\n\u007f" },
  { name: "that looks escaped", key: "%2e%2e%2fa+b c?d#e" },
  { name: "a number", key: 123 },
  { name: "null", key: null },
];

describeCases(
  "put under a key",
  keys.map(
    ({ name, key, stricter }): Case => ({
      name,
      run: (bucket) => written(bucket, anything(key), "value"),
      ...(stricter !== undefined && { stricter }),
    }),
  ),
);

describeDrain();
