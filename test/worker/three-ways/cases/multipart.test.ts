/** `createMultipartUpload`, `resumeMultipartUpload`, and what an upload can do. */
import { pattern } from "../../bucket/world";
import { told } from "../told";
import { anything, badKey, type Case, describeCases, describeDrain } from "../ways";

const MIB = 1024 * 1024;
const FIVE = pattern(5 * MIB);
const SIX = pattern(6 * MIB);
const SMALL = pattern(1_000);
const NOBODYS = "00000000-0000-4000-8000-000000000000";

const begun = (bucket: R2Bucket, key: string) => bucket.createMultipartUpload(key);

/** A part's etag is opaque: of it only whether there is one. */
const ofPart = ({ partNumber, etag, ...other }: R2UploadedPart) => ({
  partNumber,
  hasEtag: typeof etag === "string" && etag.length > 0,
  ...other,
});

/** What a completion answers, and what is read of it then. */
const completed = async (bucket: R2Bucket, upload: R2MultipartUpload, parts: R2UploadedPart[]) => [
  await upload.complete(parts),
  await bucket.get(upload.key),
];

const beginning = (name: string, options: R2MultipartOptions): Case => ({
  name,
  run: async (bucket, key) => {
    const upload = await bucket.createMultipartUpload(key, options);
    return completed(bucket, upload, [await upload.uploadPart(1, "text")]);
  },
});

describeCases("an upload is begun", [
  beginning("without options", {}),
  beginning("with metadata, which its object has", {
    httpMetadata: { contentType: "a/b", cacheExpiry: new Date("2030-01-01T00:00:00Z") },
    customMetadata: { one: "1", Two: "ä" },
  }),
  beginning("with its metadata as headers", {
    httpMetadata: new Headers({ "content-type": "a/b", "cache-control": "no-store" }),
  }),
  beginning("with too much metadata", { customMetadata: { big: "m".repeat(9_000) } }),
  beginning("with a customer key that is none", { ssecKey: "zz" }),
  { name: "with a customer's key", run: beginning("", { ssecKey: "ab".repeat(32) }).run, differs: "customerKey" },
  { name: "with a key of 1,024 bytes", run: async (bucket) => (await begun(bucket, "m".repeat(1_024))).key },
  { name: "with a key of 1,025 bytes", run: (bucket) => begun(bucket, "m".repeat(1_025)) },
  {
    name: "with an empty key",
    run: async (bucket) => (await begun(bucket, "")).key,
    stricter: { error: badKey("createMultipartUpload") },
  },
  {
    name: "with a number for a key",
    run: async (bucket) => typeof (await bucket.createMultipartUpload(anything(123))).uploadId,
  },
]);

function fixed(bytes: Uint8Array): ReadableStream {
  const { readable, writable } = new FixedLengthStream(bytes.byteLength);
  const writer = writable.getWriter();
  writer
    .write(bytes)
    .then(() => writer.close())
    .catch(() => undefined);
  return readable;
}

function broken(): ReadableStream {
  const { readable, writable } = new FixedLengthStream(10);
  void writable.abort(new Error("the client is gone")).catch(() => undefined);
  return readable;
}

const numbers = [1, 2, 10_000, 0, -1, 10_001, 1.5, 2 ** 31, 2 ** 32 + 1, Number.NaN, "2", "x", null, undefined];

const values: readonly { name: string; value: () => unknown }[] = [
  { name: "text", value: () => "abc" },
  { name: "an empty text", value: () => "" },
  { name: "bytes", value: () => SMALL },
  { name: "five MiB", value: () => FIVE },
  { name: "an ArrayBuffer", value: () => SMALL.slice().buffer },
  { name: "a view of a part", value: () => SMALL.subarray(10, 20) },
  { name: "a Blob", value: () => new Blob(["abc"]) },
  { name: "a stream of known length", value: () => fixed(FIVE) },
  { name: "a response's body", value: () => new Response("response").body },
  { name: "null", value: () => null },
  { name: "undefined", value: () => undefined },
  { name: "a number", value: () => 7 },
  { name: "an object", value: () => ({}) },
];

describeCases("a part", [
  ...numbers.map((number) => ({
    name: `of number ${typeof number} ${String(number)}`,
    run: async (bucket: R2Bucket, key: string) =>
      ofPart(await (await begun(bucket, key)).uploadPart(anything(number), "abc")),
  })),
  ...values.map(({ name, value }) => ({
    name: `of ${name}`,
    run: async (bucket: R2Bucket, key: string) => {
      const upload = await begun(bucket, key);
      return completed(bucket, upload, [await upload.uploadPart(1, anything(value()))]);
    },
  })),
  {
    name: "of a stream without a length",
    run: async (bucket, key) =>
      (await begun(bucket, key)).uploadPart(1, new ReadableStream({ start: (controller) => controller.close() })),
  },
  { name: "of a stream that breaks", run: async (bucket, key) => (await begun(bucket, key)).uploadPart(1, broken()) },
  {
    name: "with a customer key that is none",
    run: async (bucket, key) => (await begun(bucket, key)).uploadPart(1, "abc", { ssecKey: "zz" }),
  },
  {
    name: "of an upload that was aborted",
    run: async (bucket, key) => {
      const upload = await begun(bucket, key);
      await upload.abort();
      return upload.uploadPart(1, "abc");
    },
  },
  {
    name: "of an upload that was completed",
    run: async (bucket, key) => {
      const upload = await begun(bucket, key);
      await upload.complete([await upload.uploadPart(1, "abc")]);
      return upload.uploadPart(1, "def");
    },
  },
  {
    name: "of an upload of another key",
    run: async (bucket, key) => {
      const { uploadId } = await begun(bucket, key);
      return bucket.resumeMultipartUpload(`${key}/other`, uploadId).uploadPart(1, "abc");
    },
  },
]);

/** Uploads each of `bodies` as a part, and names the parts that `named` says. */
const completing = (
  name: string,
  bodies: readonly Uint8Array[],
  named: (parts: R2UploadedPart[]) => R2UploadedPart[],
): Case => ({
  name,
  run: async (bucket, key) => {
    const upload = await begun(bucket, key);
    const parts: R2UploadedPart[] = [];
    for (const body of bodies) parts.push(await upload.uploadPart(parts.length + 1, body));
    return completed(bucket, upload, named(parts));
  },
});

type Four = Readonly<Record<"one" | "two" | "small" | "six", R2UploadedPart>>;

/** Each is refused, and leaves the upload as it was. */
const refusals: Readonly<Record<string, (four: Four) => unknown>> = {
  "the small part named first": ({ one, small }) => [small, one],
  "a small part in the middle": ({ small, six }) => [small, six],
  "a large part named before a smaller one": ({ six, small }) => [six, small],
  "a last part that is larger": ({ two, six }) => [two, six],
  "a part named twice": ({ one }) => [one, one],
  "a part that was never uploaded": ({ one }) => [one, { partNumber: 9, etag: "x" }],
  "another etag": ({ one }) => [{ ...one, etag: "x" }],
  "an etag in quotes": ({ one }) => [{ ...one, etag: `"${one.etag}"` }],
  "no etag": ({ one }) => [{ partNumber: one.partNumber }],
  "a part number of 0": () => [{ partNumber: 0, etag: "x" }],
  "a part number of 10,001": () => [{ partNumber: 10_001, etag: "x" }],
  "a part number that is none": () => [{ partNumber: "a", etag: "x" }],
  "a part that is none": () => [5],
  "what is no list": () => 5,
  nothing: () => undefined,
};

describeCases("an upload is completed", [
  completing("of its parts in order", [FIVE, FIVE, SMALL], (parts) => parts),
  completing("of its parts out of order", [FIVE, FIVE, SMALL], (parts) => parts.toReversed()),
  completing("of one small part", [SMALL], (parts) => parts),
  completing("of no part", [SMALL], () => []),
  {
    name: "not, whatever is wrong with the list, and then it is",
    run: async (bucket, key) => {
      const upload = await begun(bucket, key);
      const four = {
        one: await upload.uploadPart(1, FIVE),
        two: await upload.uploadPart(2, FIVE),
        small: await upload.uploadPart(3, SMALL),
        six: await upload.uploadPart(4, SIX),
      };
      const refused: [string, unknown][] = [];
      for (const [name, parts] of Object.entries(refusals)) {
        refused.push([name, await told(() => upload.complete(anything(parts(four))))]);
      }
      return [...refused, ...(await completed(bucket, upload, [four.one, four.small]))];
    },
  },
]);

describeCases("after that", [
  {
    name: "a part uploaded twice counts as it was last",
    run: async (bucket, key) => {
      const upload = await begun(bucket, key);
      await upload.uploadPart(1, "first");
      return completed(bucket, upload, [await upload.uploadPart(1, "second")]);
    },
  },
  {
    name: "a part uploaded twice is not named by its first etag",
    run: async (bucket, key) => {
      const upload = await begun(bucket, key);
      const first = await upload.uploadPart(1, "first");
      await upload.uploadPart(1, "second");
      return upload.complete([first]);
    },
  },
  {
    name: "a second completion finds no upload",
    run: async (bucket, key) => {
      const upload = await begun(bucket, key);
      const part = await upload.uploadPart(1, "abc");
      await upload.complete([part]);
      return upload.complete([part]);
    },
  },
  {
    name: "an abort of what was completed does nothing",
    run: async (bucket, key) => {
      const upload = await begun(bucket, key);
      await upload.complete([await upload.uploadPart(1, "abc")]);
      return [await upload.abort(), await bucket.get(key)];
    },
  },
  {
    name: "an abort can be repeated",
    run: async (bucket, key) => {
      const upload = await begun(bucket, key);
      return [await upload.abort(), await upload.abort()];
    },
  },
  {
    name: "what was aborted cannot be completed",
    run: async (bucket, key) => {
      const upload = await begun(bucket, key);
      const part = await upload.uploadPart(1, "abc");
      await upload.abort();
      return upload.complete([part]);
    },
  },
  {
    name: "an upload goes on by its id",
    run: async (bucket, key) => {
      const { uploadId } = await begun(bucket, key);
      const part = await bucket.resumeMultipartUpload(key, uploadId).uploadPart(1, "abc");
      return completed(bucket, bucket.resumeMultipartUpload(key, uploadId), [part]);
    },
  },
  {
    name: "an upload that was never begun takes no part",
    run: (bucket, key) => bucket.resumeMultipartUpload(key, `queued-${NOBODYS}`).uploadPart(1, "abc"),
  },
  {
    name: "an upload is no object",
    run: async (bucket, key) => {
      await bucket.put(key, "");
      await bucket.delete(key);
      const upload = await begun(bucket, key);
      await upload.uploadPart(1, "abc");
      return bucket.head(key);
    },
  },
  {
    name: "an object that was there stays until the completion",
    run: async (bucket, key) => {
      await bucket.put(key, "old");
      const upload = await begun(bucket, key);
      const part = await upload.uploadPart(1, "new");
      return [await bucket.get(key), ...(await completed(bucket, upload, [part]))];
    },
  },
]);

describeDrain();
