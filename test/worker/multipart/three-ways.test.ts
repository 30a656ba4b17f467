/** Each multipart call three ways: R2 itself, FailoverBucket while R2 is well, and in an outage. All answer alike. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { createIsolates, type Isolate } from "../model/isolates";
import { configureQueues, TestService } from "../model/service";
import { BY, bytes, MIB } from "../queue/support";

const WAYS = ["raw", "healthy", "outage"] as const;
type Way = (typeof WAYS)[number];

const FIVE = bytes(5 * MIB, 1);
const SIX = new Uint8Array(6 * MIB);
const SMALL = bytes(1_000, 3);

const buckets = new Map<Way, R2Bucket>();

beforeAll(async () => {
  const open = (await createIsolates(1)) as ((service: string) => Isolate)[];
  await configureQueues();
  const services = { healthy: "THREE_WAYS_WELL", outage: "THREE_WAYS_DOWN" };
  buckets.set("raw", env.R2_BUCKET);
  for (const way of ["healthy", "outage"] as const) {
    const service = await TestService.open(services[way], open, { write_timeout_ms: 10_000 });
    await service.setPaused(true);
    if (way === "outage") await service.service.setMode({ mode: "forced_open", circuits: ["write"], reason: way }, BY);
    await service.refresh();
    buckets.set(way, service.isolates[0]?.bounded ?? expect.fail());
  }
});

type Case = (bucket: R2Bucket, key: string) => Promise<unknown>;

/** What a case answers, without what must differ: ids, opaque etags of parts, dates and versions. */
async function answerOf(way: Way, name: string, of: Case): Promise<unknown> {
  try {
    return plain(await of(buckets.get(way) ?? expect.fail(), `${way}/${name}`));
  } catch (error) {
    return String(error);
  }
}

function plain(value: unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  if ("httpEtag" in value) {
    const { size, etag, httpEtag, httpMetadata, customMetadata, checksums } = value as R2Object;
    return { size, etag, httpEtag, httpMetadata, customMetadata, checksums: checksums.toJSON() };
  }
  if ("partNumber" in value) return { ...value, etag: "…" };
  return value;
}

function describeThreeWays(title: string, cases: Record<string, Case>): void {
  describe(title, () => {
    test.each(Object.entries(cases))("%s", async (name, of) => {
      const [raw, ...ours] = await Promise.all(WAYS.map((way) => answerOf(way, name, of)));
      for (const answer of ours) expect(answer).toEqual(raw);
    });
  });
}

/** Calls that TypeScript would not let through. */
const loose = (upload: R2MultipartUpload) =>
  upload as unknown as Record<"uploadPart" | "complete", (...args: unknown[]) => Promise<unknown>>;

const created = (bucket: R2Bucket, key: string) => bucket.createMultipartUpload(key);

describeThreeWays("an upload is begun", {
  "with metadata, which its object has": async (bucket, key) => {
    const upload = await bucket.createMultipartUpload(key, {
      httpMetadata: { contentType: "a/b", cacheExpiry: new Date("2030-01-01T00:00:00Z") },
      customMetadata: { one: "1", Two: "ä" },
    });
    return upload.complete([await upload.uploadPart(1, "text")]);
  },
  "with its metadata as headers": async (bucket, key) => {
    const httpMetadata = new Headers({ "content-type": "a/b", "cache-control": "no-store" });
    const upload = await bucket.createMultipartUpload(key, { httpMetadata });
    return upload.complete([await upload.uploadPart(1, "text")]);
  },
  "not, for too much metadata": (bucket, key) =>
    bucket.createMultipartUpload(key, { customMetadata: { big: "m".repeat(9_000) } }),
  "not, for a key of 1,025 bytes": (bucket) => created(bucket, "k".repeat(1_025)),
  "not, for a customer key that is none": (bucket, key) => bucket.createMultipartUpload(key, { ssecKey: "zz" }),
});

const VALUES: Record<string, unknown> = {
  text: "abc",
  "empty text": "",
  bytes: SMALL,
  "a buffer": SMALL.slice().buffer,
  "a part of a buffer": SMALL.subarray(10, 20),
  "a blob": new Blob(["abc"]),
  null: null,
  undefined,
  "a number": 7,
  "an object": {},
};

describeThreeWays("a part", {
  ...Object.fromEntries(
    [1, 2, 10_000, 0, -1, 10_001, 1.5, 2 ** 31, 2 ** 32 + 1, Number.NaN, "2", "x", null, undefined].map((number) => [
      `of number ${JSON.stringify(number) ?? "undefined"} (${String(number)})`,
      async (bucket: R2Bucket, key: string) => loose(await created(bucket, key)).uploadPart(number, "abc"),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(VALUES).map(([name, value]) => [
      `of ${name}`,
      async (bucket: R2Bucket, key: string) => {
        const upload = await created(bucket, key);
        const part = (await loose(upload).uploadPart(1, value)) as R2UploadedPart;
        return upload.complete([part]);
      },
    ]),
  ),
  "of a stream": async (bucket, key) => {
    const upload = await created(bucket, key);
    const { readable, writable } = new FixedLengthStream(FIVE.byteLength);
    const writer = writable.getWriter();
    const written = writer.write(FIVE).then(() => writer.close());
    const part = await upload.uploadPart(1, readable);
    await written;
    return upload.complete([part]);
  },
  "of a stream without a length": async (bucket, key) =>
    (await created(bucket, key)).uploadPart(1, new ReadableStream({ start: (controller) => controller.close() })),
  "of a stream that breaks": async (bucket, key) => {
    const { readable, writable } = new FixedLengthStream(10);
    void writable.abort(new Error("the client is gone")).catch(() => undefined);
    return (await created(bucket, key)).uploadPart(1, readable);
  },
  "with a customer key that is none": async (bucket, key) =>
    (await created(bucket, key)).uploadPart(1, "abc", { ssecKey: "zz" }),
  "of an upload that was aborted": async (bucket, key) => {
    const upload = await created(bucket, key);
    await upload.abort();
    return upload.uploadPart(1, "abc");
  },
  "of an upload that was completed": async (bucket, key) => {
    const upload = await created(bucket, key);
    await upload.complete([await upload.uploadPart(1, "abc")]);
    return upload.uploadPart(1, "def");
  },
  "of an upload of another key": async (bucket, key) => {
    const { uploadId } = await created(bucket, key);
    return bucket.resumeMultipartUpload(`${key}/other`, uploadId).uploadPart(1, "abc");
  },
});

interface FourParts {
  readonly upload: R2MultipartUpload;
  readonly one: R2UploadedPart;
  readonly two: R2UploadedPart;
  readonly small: R2UploadedPart;
  readonly six: R2UploadedPart;
}

async function fourParts(bucket: R2Bucket, key: string): Promise<FourParts> {
  const upload = await created(bucket, key);
  return {
    upload,
    one: await upload.uploadPart(1, FIVE),
    two: await upload.uploadPart(2, FIVE),
    small: await upload.uploadPart(3, SMALL),
    six: await upload.uploadPart(4, SIX),
  };
}

describeThreeWays(
  "an upload is completed",
  Object.fromEntries(
    Object.entries<(four: FourParts) => R2UploadedPart[]>({
      "in order": ({ one, two, small }) => [one, two, small],
      "out of order": ({ one, two, small }) => [two, one, small],
      "of one small part": ({ small }) => [small],
      "of no part": () => [],
    }).map(([name, parts]) => [
      name,
      async (bucket: R2Bucket, key: string) => {
        const four = await fourParts(bucket, key);
        return four.upload.complete(parts(four));
      },
    ]),
  ),
);

/** What is refused leaves the upload as it was: they all share one. */
const shared = new Map<R2Bucket, Promise<FourParts>>();

describeThreeWays(
  "an upload is not completed",
  Object.fromEntries(
    Object.entries<(four: FourParts) => unknown>({
      "with the small part named first": ({ one, small }) => [small, one],
      "with a small part in the middle": ({ small, six }) => [small, six],
      "with a large part named before a smaller one": ({ six, small }) => [six, small],
      "with a last part that is larger": ({ two, six }) => [two, six],
      "with a part named twice": ({ one }) => [one, one],
      "with a part that was never uploaded": ({ one }) => [one, { partNumber: 9, etag: "x" }],
      "with another etag": ({ one }) => [{ ...one, etag: "x" }],
      "with an etag in quotes": ({ one }) => [{ ...one, etag: `"${one.etag}"` }],
      "without an etag": ({ one }) => [{ partNumber: one.partNumber }],
      "with a part number of 0": () => [{ partNumber: 0, etag: "x" }],
      "with a part number of 10,001": () => [{ partNumber: 10_001, etag: "x" }],
      "with a part number that is none": () => [{ partNumber: "a", etag: "x" }],
      "with a part that is none": () => [5],
      "of something that is no list": () => 5,
      "of nothing": () => undefined,
    }).map(([name, parts]) => [
      name,
      async (bucket: R2Bucket) => {
        const uploaded = shared.get(bucket) ?? fourParts(bucket, "shared");
        shared.set(bucket, uploaded);
        const four = await uploaded;
        return loose(four.upload).complete(parts(four));
      },
    ]),
  ),
);

describeThreeWays("what comes after", {
  "a part uploaded twice counts as it was last": async (bucket, key) => {
    const upload = await created(bucket, key);
    await upload.uploadPart(1, "first");
    return upload.complete([await upload.uploadPart(1, "second")]);
  },
  "a part uploaded twice is not named by its first etag": async (bucket, key) => {
    const upload = await created(bucket, key);
    const first = await upload.uploadPart(1, "first");
    await upload.uploadPart(1, "second");
    return upload.complete([first]);
  },
  "a second completion finds no upload": async (bucket, key) => {
    const upload = await created(bucket, key);
    const part = await upload.uploadPart(1, "abc");
    await upload.complete([part]);
    return upload.complete([part]);
  },
  "an abort of what was completed does nothing": async (bucket, key) => {
    const upload = await created(bucket, key);
    await upload.complete([await upload.uploadPart(1, "abc")]);
    await upload.abort();
    return bucket.head(key);
  },
  "an abort can be repeated": async (bucket, key) => {
    const upload = await created(bucket, key);
    await upload.abort();
    return upload.abort();
  },
  "what was aborted cannot be completed": async (bucket, key) => {
    const upload = await created(bucket, key);
    const part = await upload.uploadPart(1, "abc");
    await upload.abort();
    return upload.complete([part]);
  },
  "an upload goes on by its id": async (bucket, key) => {
    const { uploadId } = await created(bucket, key);
    const part = await bucket.resumeMultipartUpload(key, uploadId).uploadPart(1, "abc");
    return bucket.resumeMultipartUpload(key, uploadId).complete([part]);
  },
  "an upload is no object": async (bucket, key) => {
    const upload = await created(bucket, key);
    await upload.uploadPart(1, "abc");
    return bucket.head(key);
  },
  "an object that was there stays until the completion": async (bucket, key) => {
    await bucket.put(key, "old");
    const upload = await created(bucket, key);
    const part = await upload.uploadPart(1, "new");
    const before = await (await bucket.get(key))?.text();
    await upload.complete([part]);
    return [before, await (await bucket.get(key))?.text()];
  },
});
