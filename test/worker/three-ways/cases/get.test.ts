/** `get` with ranges, conditions and readers of every kind. */
import { md5Of, pattern } from "../../bucket/world";
import { anything, type Case, describeCases, describeDrain } from "../ways";

const bytes = pattern(3_000);
const etag = await md5Of(bytes);
const options: R2PutOptions = {
  httpMetadata: { contentType: "text/plain", cacheControl: "no-store", cacheExpiry: new Date("2030-01-01T00:00:00Z") },
  customMetadata: { one: "1", Two: "ä" },
};

const OBJECT = "get/object";
const prepare = (bucket: R2Bucket) => bucket.put(OBJECT, bytes, options);

/** Reads what was written before. */
const reading = (name: string, read: (bucket: R2Bucket) => Promise<unknown>): Case => ({ name, run: read });

const reader = (name: string, read: (object: R2ObjectBody) => unknown, text = '{"a":"ä"}'): Case => ({
  name,
  run: async (bucket, key) => {
    await bucket.put(key, text, options);
    const object = await bucket.get(key);
    return object === null ? null : read(object);
  },
});

describeCases("get, read by", [
  reader("text()", (object) => object.text()),
  reader("json()", (object) => object.json()),
  reader("json() of no JSON", (object) => object.json(), "no JSON"),
  reader("bytes()", (object) => object.bytes()),
  reader("arrayBuffer()", (object) => object.arrayBuffer()),
  reader("blob()", (object) => object.blob()),
  ...["Text/Plain; Charset=UTF-8", "no media type", ""].map(
    (contentType): Case => ({
      name: `blob() of the type "${contentType}"`,
      run: async (bucket, key) => {
        await bucket.put(key, "abc", { httpMetadata: { contentType } });
        return (await bucket.get(key))?.blob();
      },
    }),
  ),
  reader("body", (object) => new Response(object.body).text()),
  reader("body of an empty object", (object) => new Response(object.body).text(), ""),
  reader("body in chunks", async (object) => {
    let text = "";
    for await (const chunk of object.body.pipeThrough(new TextDecoderStream())) text += chunk;
    return text;
  }),
  reader("body into buffers of its own", async (object) => {
    const source = object.body.getReader({ mode: "byob" });
    const { value, done } = await source.readAtLeast(4, new Uint8Array(4));
    await source.cancel();
    return [value, done];
  }),
  reader("body twice", async (object) => {
    const { body } = object;
    return [object.body === body, await new Response(body).text()];
  }),
  reader("text() twice", async (object) => [await object.text(), await object.text()]),
  reader("text() after body", (object) => {
    object.body.getReader();
    return object.text();
  }),
  reader("nobody", async (object) => {
    await object.body.cancel();
    return object.bodyUsed;
  }),
  reader("its names", (object) => [
    ...["body", "bodyUsed", "text", "writeHttpMetadata", "storageClass", "checksums", "range"].map(
      (name) => name in object,
    ),
    typeof object.version,
    object.uploaded instanceof Date,
  ]),
  reader("its metadata as headers", (object) => {
    const headers = new Headers({ "content-type": "before", "x-other": "stays" });
    object.writeHttpMetadata(headers);
    return [...headers];
  }),
  reader("JSON of its checksums", (object) => JSON.parse(JSON.stringify(object.checksums))),
]);

const headers = (range: string) => new Headers({ range });
const ranges: readonly { name: string; range: unknown }[] = [
  ...[
    {},
    { offset: 0 },
    { offset: 2_999 },
    { offset: 3_000 },
    { offset: 3_001 },
    { offset: 10, length: 20 },
    { offset: 2_990, length: 20 },
    { length: 0 },
    { length: 5 },
    { length: 5_000 },
    { suffix: 0 },
    { suffix: 5 },
    { suffix: 5_000 },
    { offset: -1 },
    { length: -1 },
    { suffix: -1 },
    { offset: 0.5 },
    { length: 1.5 },
    { suffix: 1.5 },
    { offset: 1, suffix: 1 },
    { length: 1, suffix: 1 },
    { offset: undefined, length: 2 },
    { offset: "1", length: "2" },
    { offset: "x" },
    { length: true },
    { offset: null },
  ].map((range) => ({ name: JSON.stringify(range), range })),
  { name: "an offset that is no number", range: { offset: Number.NaN } },
  { name: "an infinite length", range: { length: Number.POSITIVE_INFINITY } },
  { name: "an infinite offset", range: { offset: Number.POSITIVE_INFINITY } },
  { name: "null", range: null },
  { name: "a text", range: "bytes=0-1" },
  ...[
    ...[
      "bytes=0-0",
      "bytes=5-",
      "bytes=-5",
      "bytes=2999-5000",
      "bytes=3000-",
      "bytes=-5000",
      "bytes=-3000",
      "bytes=-0",
    ],
    ...["bytes=9-1", "bytes=0-1,2-3", "bytes=0-1,", "bytes=", "bytes=-", "items=0-1", "bytes=a-b", " bytes = 1 - 2 "],
    ...["Bytes=1-2", "bytes=01-02", "bytes=+1-2", "bytes 1-2", "bytes=0-99999999999999999999", ""],
  ].map((range) => ({ name: `the header "${range}"`, range: headers(range) })),
  { name: "headers without one", range: new Headers() },
];

describeCases(
  "get of the range",
  ranges.map(({ name, range }) => reading(name, (bucket) => bucket.get(OBJECT, { range: anything(range) }))),
  prepare,
);

describeCases(
  "get from an empty object of the range",
  [{ offset: 0 }, { suffix: 1 }, headers("bytes=0-"), headers("bytes=-1"), headers("bytes=0-0")].map(
    (range): Case => ({
      name: range instanceof Headers ? `the header ${range.get("range")}` : JSON.stringify(range),
      run: async (bucket, key) => {
        await bucket.put(key, "");
        return bucket.get(key, { range: anything(range) });
      },
    }),
  ),
);

const past = new Date(Date.now() - 3_600_000);
const future = new Date(Date.now() + 3_600_000);
const conditions: readonly { name: string; onlyIf: R2Conditional | Headers }[] = [
  { name: "nothing", onlyIf: {} },
  { name: "its etag", onlyIf: { etagMatches: etag } },
  { name: "another etag", onlyIf: { etagMatches: "0".repeat(32) } },
  { name: "any etag", onlyIf: { etagMatches: "*" } },
  { name: "not its etag", onlyIf: { etagDoesNotMatch: etag } },
  { name: "not another etag", onlyIf: { etagDoesNotMatch: "x" } },
  { name: "not any etag", onlyIf: { etagDoesNotMatch: "*" } },
  { name: "its etag in quotes", onlyIf: { etagMatches: `"${etag}"` } },
  ...[past, future].flatMap((date) => {
    const when = date === past ? "the past" : "the future";
    return [
      { name: `before ${when}`, onlyIf: { uploadedBefore: date } },
      { name: `after ${when}`, onlyIf: { uploadedAfter: date } },
      { name: `before ${when}, in seconds`, onlyIf: { uploadedBefore: date, secondsGranularity: true } },
      { name: `its etag, and before ${when}`, onlyIf: { etagMatches: etag, uploadedBefore: date } },
      { name: `another etag, and before ${when}`, onlyIf: { etagMatches: "x", uploadedBefore: date } },
      { name: `not another etag, and after ${when}`, onlyIf: { etagDoesNotMatch: "x", uploadedAfter: date } },
      { name: `not its etag, and after ${when}`, onlyIf: { etagDoesNotMatch: etag, uploadedAfter: date } },
      { name: `if-modified-since ${when}`, onlyIf: new Headers({ "if-modified-since": date.toUTCString() }) },
      { name: `if-unmodified-since ${when}`, onlyIf: new Headers({ "if-unmodified-since": date.toUTCString() }) },
    ];
  }),
  { name: "if-modified-since, unreadable", onlyIf: new Headers({ "if-modified-since": "soon" }) },
  { name: "if-unmodified-since, unreadable", onlyIf: new Headers({ "if-unmodified-since": "soon" }) },
  ...["if-match", "if-none-match"].flatMap((header) =>
    [`"${etag}"`, `W/"${etag}"`, `"x", "${etag}"`, "*", '"x"', '"x', "x", ""].map((value) => ({
      name: `${header}: ${value.replace(etag, "its etag")}`,
      onlyIf: new Headers({ [header]: value }),
    })),
  ),
  { name: "other headers", onlyIf: new Headers({ accept: "a/b" }) },
  { name: "a date that is none", onlyIf: { uploadedAfter: new Date(Number.NaN) } },
  { name: "a number for an etag", onlyIf: anything({ etagDoesNotMatch: 1 }) },
  { name: "a text", onlyIf: anything("x") },
  { name: "null", onlyIf: anything(null) },
];

describeCases(
  "get, if",
  conditions.map(({ name, onlyIf }) => reading(name, (bucket) => bucket.get(OBJECT, { onlyIf }))),
  prepare,
);

describeCases(
  "get with",
  [
    reading("no options", (bucket) => bucket.get(OBJECT)),
    reading("null for options", (bucket) => bucket.get(OBJECT, anything(null))),
    reading("a text for options", (bucket) => bucket.get(OBJECT, anything("x"))),
    reading("unknown options", (bucket) => bucket.get(OBJECT, anything({ unknown: 1 }))),
    reading("a range and a condition that holds", (bucket) =>
      bucket.get(OBJECT, { range: { suffix: 3 }, onlyIf: { etagMatches: etag } }),
    ),
    reading("a range that cannot be had and a condition that does not hold", (bucket) =>
      bucket.get(OBJECT, { range: { offset: 9_999 }, onlyIf: { etagMatches: "x" } }),
    ),
    reading("a customer's key that is too short", (bucket) => bucket.get(OBJECT, { ssecKey: "ab" })),
    reading("a customer's key that is no hex", (bucket) => bucket.get(OBJECT, { ssecKey: "x".repeat(64) })),
    {
      name: "a number for a key",
      run: async (bucket) => {
        await bucket.put("123", "text");
        return bucket.get(anything(123));
      },
    },
  ],
  prepare,
);

describeCases("get of", [
  {
    name: "an object of 1.5 MiB, a part of it",
    run: async (bucket, key) => {
      await bucket.put(key, pattern(1_572_864));
      return [
        await bucket.get(key, { range: { offset: 1_048_570, length: 12 } }),
        await bucket.get(key, { range: { suffix: 524_288 } }),
      ];
    },
  },
  {
    name: "an object that was deleted",
    run: async (bucket, key) => {
      await bucket.put(key, "text");
      await bucket.delete(key);
      return [await bucket.get(key), await bucket.get(key, { onlyIf: { etagMatches: "x" } })];
    },
  },
  {
    name: "an object that was written again",
    run: async (bucket, key) => {
      await bucket.put(key, "text", options);
      await bucket.put(key, "other text");
      return bucket.get(key);
    },
  },
  { name: "nothing", run: (bucket, key) => bucket.get(key), differs: "unknown" },
  {
    name: "nothing, under a condition",
    run: (bucket, key) => bucket.get(key, { onlyIf: { etagDoesNotMatch: "*" } }),
    differs: "unknown",
  },
  {
    name: "nothing, in a range that cannot be",
    run: (bucket, key) => bucket.get(key, { range: { offset: -1 } }),
  },
  {
    name: "nothing, under a condition that is none",
    run: (bucket, key) => bucket.get(key, { onlyIf: { etagMatches: '"a"' } }),
  },
  { name: "a key of 1,025 bytes", run: (bucket) => bucket.get("k".repeat(1_025)) },
]);

describeDrain();
