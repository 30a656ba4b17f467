/**
 * Multipart uploads through an outage, with the real objects: wherever an upload begins and ends, R2 has in the end the
 * object that its caller was told of, byte for byte.
 */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test, vi } from "vitest";
import type { FailoverUpload } from "../../../src/bucket/failover-bucket";
import { createIsolates, type Isolate } from "../model/isolates";
import { configureQueues, pause, TestService } from "../model/service";
import { bytes, isSame, MIB } from "../queue/support";

vi.hoisted(async () => {
  // workerd has no such method, and Vitest calls it after each mocked module.
  const hooks: string = "node:async_hooks";
  const { AsyncLocalStorage } = await import(hooks);
  AsyncLocalStorage.prototype.disable = () => undefined;
});
vi.mock("../../../src/shared/fence", () => ({ FENCE_MARGIN_MS: 1_200 }));

vi.setConfig({ testTimeout: 120_000 });

const DRAIN_MS = 60_000;
/** No part but the last may be smaller in R2. */
const PARTS = [bytes(5 * MIB, 1), bytes(70_000, 3)] as const;
const OTHER = bytes(5 * MIB, 2);
const WHOLE = joined(PARTS);
const OPTIONS: R2MultipartOptions = {
  httpMetadata: { contentType: "video/mp4", cacheExpiry: new Date("2030-01-01T00:00:00Z") },
  customMetadata: { note: "ä", Two: "2" },
};

let open: ((service: string) => Isolate)[] = [];
let opened = 0;

beforeAll(async () => {
  open = await createIsolates(2);
  await configureQueues();
});

async function openService(config: Record<string, number> = {}) {
  opened += 1;
  const service = await TestService.open(`MULTIPART_${opened}`, open, {
    write_timeout_ms: 2_000,
    lease_cap_ms: 3_000,
    ...config,
  });
  const [one, two] = service.isolates;
  if (one === undefined || two === undefined) throw new Error("two isolates were asked for");
  return { service, one, two, key: service.key(0) };
}

/** In force in both isolates, for as long as a lease lasts. */
async function setMode(service: TestService, mode: "auto" | "forced_open"): Promise<void> {
  await service.setMode(mode);
  await service.refresh();
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** What R2 gives such an object as its etag. */
async function etagOf(parts: readonly Uint8Array[]): Promise<string> {
  const md5s = await Promise.all(parts.map(async (part) => new Uint8Array(await crypto.subtle.digest("MD5", part))));
  const digest = new Uint8Array(await crypto.subtle.digest("MD5", joined(md5s)));
  return `${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}-${parts.length}`;
}

/** Both parts, in order. */
async function uploadAll(upload: FailoverUpload): Promise<R2UploadedPart[]> {
  const parts: R2UploadedPart[] = [];
  for (const [index, part] of PARTS.entries()) parts.push(await upload.uploadPart(index + 1, part));
  return parts;
}

async function drained(service: TestService): Promise<void> {
  await service.heal();
  await service.drained(DRAIN_MS);
  await service.close();
}

async function expectInR2(key: string, whole: Uint8Array, etag: string, options = OPTIONS): Promise<void> {
  const object = await env.R2_BUCKET.get(key);
  expect(object).toMatchObject({ etag, size: whole.byteLength, ...options });
  expect(isSame((await object?.bytes()) ?? new Uint8Array(), whole)).toBe(true);
}

/** Uploads that R2 has, whether anybody knows of them or not: a part can be added to them. */
async function isOpenInR2(key: string, uploadId: string): Promise<boolean> {
  const upload = env.R2_BUCKET.resumeMultipartUpload(key, uploadId);
  return upload.uploadPart(10_000, "x").then(
    () => true,
    () => false,
  );
}

const statuses = async (service: TestService) =>
  (await service.operations()).map((operation) => `${operation.operation_type} ${operation.status}`).sort();

describe("an upload is finished whatever happens on the way", () => {
  /** Begin, two parts, completion: `h` in health, `o` in an outage; a capital letter in another isolate. */
  test.concurrent.each([
    { way: "hhhh", ends: "stored", readable: true },
    { way: "oooo", ends: "queued", readable: true },
    { way: "hooo", ends: "queued", readable: true },
    { way: "ohhh", ends: "queued", readable: true },
    { way: "hhho", ends: "queued", readable: false },
    { way: "hhoo", ends: "queued", readable: false },
    { way: "hohh", ends: "queued", readable: false },
    { way: "hHhH", ends: "stored", readable: true },
    { way: "oOhO", ends: "queued", readable: true },
    { way: "hOhO", ends: "queued", readable: false },
  ] as const)("$way: $ends", async ({ way, ends, readable }) => {
    const { service, one, two, key } = await openService();
    const [begin, ...steps] = [...way];
    const at = async (step: string | undefined) => {
      await setMode(service, step?.toLowerCase() === "o" ? "forced_open" : "auto");
      return step === step?.toLowerCase() ? one : two;
    };
    const { uploadId } = await (await at(begin)).bounded.createMultipartUpload(key, OPTIONS);
    const parts: R2UploadedPart[] = [];
    for (const [index, part] of PARTS.entries()) {
      const upload = (await at(steps[index])).bounded.resumeMultipartUpload(key, uploadId);
      parts.push(await upload.uploadPart(index + 1, part));
    }
    const finisher = await at(steps.at(-1));
    const upload = finisher.bounded.resumeMultipartUpload(key, uploadId);
    await service.setPaused(true);
    const outcome = await upload.finish(parts);
    expect(outcome.kind).toBe(ends);
    const etag = await etagOf(PARTS);
    expect(outcome.object).toMatchObject({ key, etag, size: WHOLE.byteLength, ...OPTIONS });
    expect(outcome.object.checksums.toJSON()).toEqual({});

    for (const bucket of [finisher.bounded, one.strong, two.strong]) {
      expect(await bucket.head(key)).toMatchObject({ etag, size: WHOLE.byteLength, ...OPTIONS });
      if (readable) {
        // Over the end of one part and the beginning of another.
        const range = { offset: 5 * MIB - 10, length: 20 };
        const piece = (await (await bucket.get(key, { range }))?.bytes()) ?? new Uint8Array();
        expect(isSame(piece, WHOLE.subarray(range.offset, range.offset + range.length))).toBe(true);
      } else {
        await expect(bucket.get(key)).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfter: 2 });
        expect(await bucket.get(key, { onlyIf: { etagDoesNotMatch: etag } })).not.toHaveProperty("body");
      }
    }
    if (readable) expect(isSame((await (await two.strong.get(key))?.bytes()) ?? new Uint8Array(), WHOLE)).toBe(true);
    await drained(service);
    await expectInR2(key, WHOLE, etag);
    expect(await statuses(service)).toEqual(ends === "queued" ? ["MULTIPART_UPLOAD COMPLETED"] : []);
    if (begin === "h") expect(await isOpenInR2(key, uploadId)).toBe(false);
  });

  test.concurrent("when R2 fails each call instead of being left alone", async () => {
    const { service, one, key } = await openService();
    await service.setFaults([{ operations: "write" }]);
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    const outcome = await upload.finish(await uploadAll(upload));
    expect(outcome.kind).toBe("queued");
    await drained(service);
    await expectInR2(key, WHOLE, await etagOf(PARTS));
  });

  test.concurrent("when it hangs at the parts and at the completion", async () => {
    const { service, one, key } = await openService({ write_timeout_ms: 400 });
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    await service.setFaults([{ operations: ["uploadPart", "complete"], hang: true }]);
    const { readable, writable } = new FixedLengthStream(PARTS[0].byteLength);
    const writer = writable.getWriter();
    const written = writer.write(PARTS[0]).then(() => writer.close());
    const first = await upload.uploadPart(1, readable);
    await written;
    const outcome = await upload.finish([first]);
    expect(outcome.kind).toBe("queued");
    await drained(service);
    await expectInR2(key, PARTS[0], await etagOf([PARTS[0]]));
  });
});

describe("a reply that is lost", () => {
  test.concurrent("to a completion: it is found in R2, and not written twice", async () => {
    const { service, one, key } = await openService();
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    const parts = await uploadAll(upload);
    await service.setFaults([{ operations: ["complete"], lose_reply: true }]);
    const outcome = await upload.finish(parts);
    expect(outcome.kind).toBe("queued");
    const version = (await env.R2_BUCKET.head(key))?.version;
    expect(version).toBeDefined();
    await drained(service);
    await expectInR2(key, WHOLE, await etagOf(PARTS));
    expect((await env.R2_BUCKET.head(key))?.version).toBe(version);
    expect(await statuses(service)).toEqual(["MULTIPART_UPLOAD COMPLETED"]);
  });

  test.concurrent("to a completion of the drain itself, likewise", async () => {
    const { service, one, key } = await openService();
    await setMode(service, "forced_open");
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    await upload.finish(await uploadAll(upload));
    await service.setFaults([{ operations: ["complete"], lose_reply: true }], []);
    await setMode(service, "auto");
    const version = await vi.waitUntil(async () => (await env.R2_BUCKET.head(key))?.version, { timeout: DRAIN_MS });
    await drained(service);
    await expectInR2(key, WHOLE, await etagOf(PARTS));
    expect((await env.R2_BUCKET.head(key))?.version).toBe(version);
  });

  test.concurrent("to a part: it is sent to the queue, and again to R2", async () => {
    const { service, one, key } = await openService();
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    await service.setFaults([{ operations: ["uploadPart"], lose_reply: true, error_rate: 0.5 }]);
    const outcome = await upload.finish(await uploadAll(upload));
    await drained(service);
    await expectInR2(key, WHOLE, outcome.object.etag);
  });

  test.concurrent("to a completion that lands late does not bury what was written after it", async () => {
    const { service, one, key } = await openService({ write_timeout_ms: 400 });
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    const parts = [await upload.uploadPart(1, "first")];
    await service.setFaults([{ operations: ["complete"], latency_ms: 900, land_late: true }]);
    expect((await upload.finish(parts)).kind).toBe("queued");
    await service.setFaults([]);
    expect((await one.bounded.write(key, "newer")).kind).toBe("queued");
    await pause(1_000);
    expect(await (await one.bounded.get(key))?.text()).toBe("newer");
    await drained(service);
    expect(await (await env.R2_BUCKET.get(key))?.text()).toBe("newer");
    expect(await statuses(service)).toEqual(["MULTIPART_UPLOAD SUPERSEDED", "UPLOAD COMPLETED"]);
  });
});

describe("parts", () => {
  test.concurrent("come in any order, and those that are not named are let go", async () => {
    const { service, one, key } = await openService();
    await setMode(service, "forced_open");
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    const last = await upload.uploadPart(9, PARTS[1]);
    await upload.uploadPart(5, OTHER);
    const first = await upload.uploadPart(3, PARTS[0]);
    await service.setPaused(true);
    await upload.finish([first, last]);
    const { bytes: held } = await service.queue(service.shardOf(key)).usage();
    expect(held).toBe(WHOLE.byteLength);
    await drained(service);
    await expectInR2(key, WHOLE, await etagOf(PARTS));
  });

  /** Where part 1 is uploaded first and where again. */
  test.concurrent.each(["oo", "ho", "oh", "hh"])(
    "that are uploaded again (%s) count as they were last, wherever that is",
    async (way) => {
      const { service, one, key } = await openService();
      const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
      const at = (step: string | undefined) => setMode(service, step === "o" ? "forced_open" : "auto");
      await at(way[0]);
      const stale = await upload.uploadPart(1, OTHER);
      await at(way[1]);
      const first = await upload.uploadPart(1, PARTS[0]);
      await at("h");
      const last = await upload.uploadPart(2, PARTS[1]);
      await expect(upload.complete([stale, last])).rejects.toThrow(/\(10025\)$/);
      await upload.complete([first, last]);
      await drained(service);
      await expectInR2(key, WHOLE, await etagOf(PARTS));
    },
  );

  test.concurrent("that only R2 knows of cannot be completed without it, and nothing is acknowledged", async () => {
    const { service, one, key } = await openService();
    // An application that has not met this library yet.
    const native = await env.R2_BUCKET.createMultipartUpload(key, OPTIONS);
    const part = await native.uploadPart(1, "text");
    const upload = one.bounded.resumeMultipartUpload(key, native.uploadId);
    await setMode(service, "forced_open");
    await expect(upload.uploadPart(2, "more")).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfter: 5 });
    await expect(upload.complete([part])).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfter: 5 });
    expect(await service.operations()).toEqual([]);
    await setMode(service, "auto");
    expect((await upload.finish([part])).kind).toBe("stored");
    await drained(service);
    await expectInR2(key, new TextEncoder().encode("text"), await etagOf([new TextEncoder().encode("text")]));
  });
});

describe("an upload that is aborted", () => {
  test.concurrent("in the queue leaves nothing there", async () => {
    const { service, one, key } = await openService();
    await setMode(service, "forced_open");
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    const parts = await uploadAll(upload);
    expect((await service.queue(service.shardOf(key)).usage()).bytes).toBe(WHOLE.byteLength);
    await upload.abort();
    await expect(upload.complete(parts)).rejects.toThrow(/\(10024\)$/);
    await expect(upload.uploadPart(1, "x")).rejects.toThrow(/\(10024\)$/);
    expect((await service.queue(service.shardOf(key)).usage()).bytes).toBe(0);
    await drained(service);
    expect(await env.R2_BUCKET.head(key)).toBeNull();
  });

  test.concurrent("in R2 is gone there, with the parts that the queue had of it", async () => {
    const { service, one, key } = await openService();
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    await upload.uploadPart(1, PARTS[0]);
    await setMode(service, "forced_open");
    await upload.uploadPart(2, PARTS[1]);
    await setMode(service, "auto");
    await upload.abort();
    expect(await isOpenInR2(key, upload.uploadId)).toBe(false);
    await drained(service);
  });

  test.concurrent("in an outage is aborted in R2 when it is back, and until then for everybody who asks", async () => {
    const { service, one, two, key } = await openService();
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    const parts = await uploadAll(upload);
    await service.setFaults([{ operations: ["abort"] }]);
    await upload.abort();
    await service.setFaults([]);
    const other = two.bounded.resumeMultipartUpload(key, upload.uploadId);
    await expect(other.complete(parts)).rejects.toThrow(/\(10024\)$/);
    await expect(other.uploadPart(1, "x")).rejects.toThrow(/\(10024\)$/);
    expect(await isOpenInR2(key, upload.uploadId)).toBe(true);
    await service.hurryAborts(key);
    await vi.waitUntil(async () => !(await isOpenInR2(key, upload.uploadId)), { timeout: DRAIN_MS, interval: 50 });
    await drained(service);
  });

  test.concurrent("after its completion was queued is completed all the same, as in R2", async () => {
    const { service, one, key } = await openService();
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    const parts = await uploadAll(upload);
    await setMode(service, "forced_open");
    expect((await upload.finish(parts)).kind).toBe("queued");
    await service.setPaused(true);
    await setMode(service, "auto");
    await upload.abort();
    await expect(upload.uploadPart(1, "x")).rejects.toThrow(/\(10024\)$/);
    await drained(service);
    await expectInR2(key, WHOLE, await etagOf(PARTS));
  });
});

describe("the order of a key's writes", () => {
  test.concurrent("a completion takes the place of what is queued before it", async () => {
    const { service, one, key } = await openService();
    await setMode(service, "forced_open");
    await one.bounded.write(key, "older");
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    await upload.finish(await uploadAll(upload));
    await drained(service);
    await expectInR2(key, WHOLE, await etagOf(PARTS));
    expect(await statuses(service)).toEqual(["MULTIPART_UPLOAD COMPLETED", "UPLOAD SUPERSEDED"]);
  });

  test.concurrent("a newer put takes its place: its parts are let go, here and in R2", async () => {
    const { service, one, key } = await openService();
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    const parts = await uploadAll(upload);
    await setMode(service, "forced_open");
    await upload.finish(parts);
    expect((await one.bounded.write(key, "newer")).kind).toBe("queued");
    expect((await service.queue(service.shardOf(key)).usage()).bytes).toBe(5);
    await drained(service);
    expect(await (await env.R2_BUCKET.get(key))?.text()).toBe("newer");
    await vi.waitUntil(async () => !(await isOpenInR2(key, upload.uploadId)), { timeout: DRAIN_MS, interval: 50 });
  });

  test.concurrent("a delete that comes after it is applied after it", async () => {
    const { service, one, key } = await openService();
    await setMode(service, "forced_open");
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    await upload.finish(await uploadAll(upload));
    await one.bounded.remove(key);
    expect(await one.bounded.get(key)).toBeNull();
    await drained(service);
    expect(await env.R2_BUCKET.head(key)).toBeNull();
  });

  test.concurrent("a completion in health waits behind what is queued", async () => {
    const { service, one, two, key } = await openService();
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    const parts = await uploadAll(upload);
    await service.setPaused(true);
    await service.setMode("forced_open", [two]);
    await two.bounded.write(key, "queued before");
    await setMode(service, "auto");
    expect((await upload.finish(parts)).kind).toBe("queued");
    await drained(service);
    await expectInR2(key, WHOLE, await etagOf(PARTS));
  });

  test.concurrent("a direct put that is newer than a queued completion survives the drain", async () => {
    const { service, one, key } = await openService();
    await setMode(service, "forced_open");
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    await upload.finish(await uploadAll(upload));
    await pause(5);
    await env.R2_BUCKET.put(key, "newer, direct");
    await drained(service);
    expect(await (await env.R2_BUCKET.get(key))?.text()).toBe("newer, direct");
    expect(await statuses(service)).toEqual(["MULTIPART_UPLOAD SUPERSEDED"]);
  });
});

describe("what R2 has lost meanwhile", () => {
  test.concurrent("an upload whose parts are all in the queue is begun anew", async () => {
    const { service, one, key } = await openService();
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    await setMode(service, "forced_open");
    await upload.finish(await uploadAll(upload));
    await env.R2_BUCKET.resumeMultipartUpload(key, upload.uploadId).abort();
    await drained(service);
    await expectInR2(key, WHOLE, await etagOf(PARTS));
  });

  test.concurrent("a part that is in the queue too is sent again", async () => {
    const { service, one, key } = await openService();
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    await setMode(service, "forced_open");
    await upload.finish(await uploadAll(upload));
    // Between the sending and the completion, a given-up call of another part with this number lands.
    await service.setFaults([{ operations: ["complete"] }], []);
    await setMode(service, "auto");
    await vi.waitUntil(async () => (await service.operations())[0]?.error_message?.includes("10001"), {
      timeout: DRAIN_MS,
      interval: 20,
    });
    await env.R2_BUCKET.resumeMultipartUpload(key, upload.uploadId).uploadPart(1, OTHER);
    await drained(service);
    await expectInR2(key, WHOLE, await etagOf(PARTS));
  });

  test.concurrent("parts that only R2 had make a dead letter that says so", async () => {
    const { service, one, key } = await openService();
    const upload = await one.bounded.createMultipartUpload(key, OPTIONS);
    const parts = await uploadAll(upload);
    await setMode(service, "forced_open");
    await upload.finish(parts);
    await env.R2_BUCKET.resumeMultipartUpload(key, upload.uploadId).abort();
    await setMode(service, "auto");
    const [operation] = await vi.waitUntil(
      async () => {
        const found = await service.operations();
        return found[0]?.status === "FAILED" ? found : null;
      },
      { timeout: DRAIN_MS, interval: 50 },
    );
    expect(operation?.error_message).toMatch(/10024/);
    expect(await service.cancel(operation?.operation_id ?? "")).toBe(true);
    await drained(service);
  });
});
