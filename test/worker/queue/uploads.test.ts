/** What a shard keeps of multipart uploads: their room, their rows at rest, and their end. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import type { QueueDO } from "../../../durable-objects/queue/queue-do";
import { FENCE_MARGIN_MS } from "../../../src/shared/fence";
import { hashKey, queueUploadId } from "../../../src/shared/keys";
import type { CompleteUploadRequest, NamedPart } from "../../../src/shared/multipart-protocol";
import {
  bytes,
  counts,
  ended,
  fault,
  idOf,
  inR2,
  isSame,
  MIB,
  md5,
  pause,
  putRequest,
  readAll,
  restart,
  resume,
  rows,
  shard,
  start,
  stored,
  streamOf,
  text,
} from "./support";
import { complete, type Opened, open, openAgain, part, send } from "./upload-support";

const DAY_MS = 86_400_000;

beforeAll(async () => {
  await start();
  await pause();
});
afterAll(() => {
  Object.assign(env, { PAYLOAD_ENCRYPTION_KEY: undefined });
});

const NO_UPLOAD = { ok: false, r2Code: 10024 };

describe("the room of the queue", () => {
  it("is taken by parts as they come, given back by an abort, and handed over to the operation", async () => {
    const upload = await open(0, "room");
    const usage = async () => (await shard(0).usage()).bytes;
    const first = await part(upload, 1, bytes(5 * MIB));
    await part(upload, 2, text("unnamed"));
    expect(await usage()).toBe(5 * MIB + 7);
    await part(upload, 2, text("again"));
    expect(await usage()).toBe(5 * MIB + 5);
    expect(await complete(upload, [first])).toMatchObject({ ok: true, verdict: "queued" });
    expect(await usage()).toBe(5 * MIB);
    await restart(0);
    expect(await usage()).toBe(5 * MIB);

    const other = await open(0, "given-back");
    await part(other, 1, bytes(2 * MIB));
    await shard(0).abortUpload(other.key, other.uploadId);
    expect(await usage()).toBe(5 * MIB);
  });

  it("keeps the shard busy while parts are held, for no key", async () => {
    const upload = await open(3, "slows-nobody");
    await part(upload, 1, bytes(2 * MIB));
    const { busy } = (await shard(3).peek("slows-nobody")).shard;
    expect(busy).not.toBeNull();
    expect(busy).not.toContain(hashKey("slows-nobody"));
    await shard(3).abortUpload(upload.key, upload.uploadId);
    await expect.poll(async () => (await shard(3).peek("x")).shard.busy, { timeout: 10_000 }).toBeNull();
  });
});

describe("a part", () => {
  it("of the same number takes the place of the one before, and of one that comes at the same time", async () => {
    const upload = await open(4, "same-number");
    await part(upload, 1, bytes(2.5 * MIB, 1));
    await Promise.all([send(upload, 1, streamOf(bytes(2 * MIB, 2), [50_001])), send(upload, 1, bytes(1.5 * MIB, 3))]);
    const last = await part(upload, 1, bytes(1.2 * MIB, 4));
    expect(last).toEqual({ partNumber: 1, etag: await md5(bytes(1.2 * MIB, 4)) });
    await expect.poll(() => counts(4)).toMatchObject({ payload_chunks: 2, receipts: 0, freeing: 0 });
    const reply = await complete(upload, [last]);
    if (!reply.ok || reply.verdict !== "queued") throw new Error("not queued");
    const payload = await shard(4).payload(reply.stored.operationId, 0, reply.stored.size);
    expect(isSame(await readAll(payload), bytes(1.2 * MIB, 4))).toBe(true);
  });

  it("that breaks midway leaves no row, and the one before it as it was", async () => {
    const upload = await open(5, "breaks");
    const before = await part(upload, 1, text("before"));
    await expect(send(upload, 1, streamOf(bytes(3 * MIB), [65_536], 2 * MIB))).rejects.toThrow("disconnected");
    await expect.poll(() => counts(5)).toMatchObject({ payload_chunks: 1, receipts: 0, freeing: 0 });
    expect(await complete(upload, [before])).toMatchObject({ ok: true, verdict: "queued" });
  });

  it("of more or fewer bytes than announced is refused", async () => {
    const upload = await open(6, "size");
    for (const size of [1, 3 * MIB]) {
      const answer = await send(upload, 1, streamOf(bytes(2 * MIB), [65_536]), { size });
      expect(answer).toMatchObject({ ok: false, code: "INVALID_REQUEST" });
    }
    expect(await rows(6, "SELECT 1 FROM upload_parts")).toEqual([]);
  });

  it("that R2 has taken takes the place of the one here, and the reverse", async () => {
    const upload = { n: 7, key: "places", uploadId: "native", origin: "r2" as const };
    expect(await openAgain(upload)).toBeNull();
    await part(upload, 1, bytes(2 * MIB));
    const told = { partNumber: 1, etag: "opaque", size: 4, md5: await md5(text("text")) };
    expect(await shard(7).partUploaded(upload.key, upload.uploadId, told)).toBe("open");
    expect((await shard(7).usage()).bytes).toBe(0);
    await part(upload, 1, text("again"));
    expect(await complete(upload, [told])).toMatchObject({ ok: false, r2Code: 10025 });
    expect((await shard(7).usage()).bytes).toBe(5);
    await shard(7).abortUpload(upload.key, upload.uploadId);
  });

  test.each([0, 10_001, 1.5])("of number %d is refused here too", async (partNumber) => {
    const upload = { n: 8, key: "numbers", uploadId: queueUploadId(), origin: "queue" as const };
    expect(await send(upload, partNumber, text("x"))).toMatchObject({ ok: false, code: "INVALID_REQUEST" });
  });

  it("of an upload that nobody knows is R2's error, or, of one begun in R2, a 503", async () => {
    const ours = { n: 8, key: "unknown", uploadId: queueUploadId(), origin: "queue" as const };
    expect(await send(ours, 1, text("x"))).toMatchObject(NO_UPLOAD);
    expect(await complete(ours, [])).toMatchObject(NO_UPLOAD);
    const native = { ...ours, uploadId: "native", origin: "r2" as const };
    expect(await send(native, 1, text("x"))).toMatchObject({ ok: false, code: "SERVICE_UNAVAILABLE", retryAfter: 5 });
  });
});

describe("a completion", () => {
  const native = (n: number, key: string) => ({ n, key, uploadId: `native-${key}`, origin: "r2" as const });
  const inR2Part = async (upload: Opened, partNumber: number, data: Uint8Array): Promise<NamedPart> => {
    const told = { partNumber, etag: `opaque-${partNumber}`, size: data.byteLength, md5: await md5(data) };
    await shard(upload.n).partUploaded(upload.key, upload.uploadId, told);
    return { partNumber, etag: told.etag };
  };

  test.each<{ rule: string; verdict: string; prepare: (upload: Opened) => Promise<Partial<CompleteUploadRequest>> }>([
    { rule: "R2 has all of it, and the key is free", verdict: "direct", prepare: async () => ({}) },
    { rule: "the caller's circuit admits nothing", verdict: "queued", prepare: async () => ({ writable: false }) },
    {
      rule: "something is queued for the key",
      verdict: "queued",
      prepare: async ({ n, key }) => {
        stored(await shard(n).enqueue(putRequest(key, "before"), text("before")));
        return {};
      },
    },
    {
      rule: "a call that was given up may yet land on the key",
      verdict: "queued",
      prepare: async ({ n, key }) => {
        await shard(n).quarantine(key, null, { callId: "given-up", startedMsAgo: 1, fenceInMs: 60_000 });
        return {};
      },
    },
    {
      rule: "its ticket is given back, because R2 did not do it",
      verdict: "queued",
      prepare: async (upload) => {
        const first = await complete(upload, [{ partNumber: 1, etag: "opaque-1" }]);
        if (!first.ok || first.verdict !== "direct") throw new Error("no ticket");
        return { ticket: first.ticket };
      },
    },
  ])("is $verdict when $rule", async ({ rule, verdict, prepare }) => {
    const upload = native(9, rule);
    await openAgain(upload);
    const only = await inR2Part(upload, 1, text("text"));
    const changes = await prepare(upload);
    expect(await complete(upload, [only], changes)).toMatchObject({ ok: true, verdict });
  });

  it("of an upload that R2 alone knows is direct, or not possible now", async () => {
    const upload = native(10, "alone");
    const parts = [{ partNumber: 1, etag: "opaque" }];
    expect(await complete(upload, parts)).toMatchObject({ verdict: "direct" });
    const refusal = await complete(upload, parts, { operationId: idOf("alone", "again"), writable: false });
    expect(refusal).toMatchObject({ ok: false, code: "SERVICE_UNAVAILABLE", retryAfter: 5 });
  });

  it("sent again is the same operation, under another id it finds no upload, and the id names no other upload", async () => {
    const upload = await open(11, "again");
    const only = await part(upload, 1, text("text"));
    const first = await complete(upload, [only]);
    expect(first).toMatchObject({ verdict: "queued" });
    expect(await complete(upload, [only])).toEqual(first);
    expect(await complete(upload, [only], { operationId: idOf("again", "other") })).toMatchObject(NO_UPLOAD);
    const second = { ...upload, uploadId: queueUploadId() };
    expect(await complete(second, [only])).toMatchObject({ ok: false, code: "OPERATION_ID_REUSED" });
  });

  it("that is refused keeps the key off limits while its own call may yet land", async () => {
    const upload = native(12, "feared");
    const directCall = { callId: "call", startedMsAgo: 1, fenceInMs: 60_000 };
    const refusal = await complete(upload, [{ partNumber: 1, etag: "x" }], { directCall, ticket: "gone" });
    expect(refusal).toMatchObject({ ok: false, code: "SERVICE_UNAVAILABLE" });
    expect(await rows(12, "SELECT key, kind FROM outstanding_calls")).toEqual([{ key: "feared", kind: "direct" }]);
  });

  it("that is refused, and lands all the same, does not bury what was queued after it", async () => {
    const key = "refused-but-landed";
    const inR2Only = await env.R2_BUCKET.createMultipartUpload(key);
    const parts = [await inR2Only.uploadPart(1, "unknown end")];
    const directCall = { callId: key, startedMsAgo: 1, fenceInMs: 300 };
    const refusal = await complete({ ...native(19, key), uploadId: inR2Only.uploadId }, parts, {
      directCall,
      writable: false,
    });
    expect(refusal).toMatchObject({ ok: false, code: "SERVICE_UNAVAILABLE" });
    stored(await shard(19).enqueue(putRequest(key, "after"), text("acknowledged after it")));
    await inR2Only.complete(parts);
    await resume();
    expect(await ended(19, idOf(key, "after"))).toMatchObject({ status: "COMPLETED" });
    await pause();
    expect(await (await env.R2_BUCKET.get(key))?.text()).toBe("acknowledged after it");
  });

  it.each<{ rule: string; meanwhile: (upload: Opened) => Promise<unknown>; refusal: object }>([
    {
      rule: "is aborted",
      meanwhile: ({ n, key, uploadId }) => shard(n).abortUpload(key, uploadId),
      refusal: NO_UPLOAD,
    },
    {
      rule: "gets another part",
      meanwhile: (upload) => part(upload, 1, text("other")),
      refusal: { ok: false, r2Code: 10025 },
    },
  ])("of an upload that $rule while it is put together is judged anew", async ({ rule, meanwhile, refusal }) => {
    const upload = await open(21, `race/${rule}`);
    const only = await part(upload, 1, text("text"));
    await runInDurableObject(shard(21), (instance: QueueDO) => {
      let isFirst = true;
      instance.steps = {
        at: async (step, work) => {
          const result = await work;
          if (step === "complete.seal" && isFirst) {
            isFirst = false;
            await meanwhile(upload);
          }
          return result;
        },
      };
    });
    expect(await complete(upload, [only])).toMatchObject(refusal);
    expect(await shard(21).operation(idOf(upload.key, "complete"))).toBeNull();
  });

  it("is applied when nobody writes past the queue any more, as a delete is", async () => {
    const upload = await open(22, "unfenced");
    const only = await part(upload, 1, text("text"));
    await resume();
    expect(await complete(upload, [only])).toMatchObject({ verdict: "queued" });
    const operation = await ended(22, idOf("unfenced", "complete"));
    await pause();
    expect(operation.status).toBe("COMPLETED");
    const waited = Date.parse(operation.completed_at ?? "") - Date.parse(operation.created_at);
    expect(waited).toBeGreaterThanOrEqual(FENCE_MARGIN_MS);
  });

  it("of which R2 makes other bytes than its caller was told of is a dead letter, not completed", async () => {
    const key = "other-bytes";
    const begun = await env.R2_BUCKET.createMultipartUpload(key);
    const upload = { ...native(23, key), uploadId: begun.uploadId };
    await openAgain(upload);
    const only = await begun.uploadPart(1, "text");
    await shard(23).partUploaded(key, begun.uploadId, { ...only, size: 4, md5: await md5(text("else")) });
    expect(await complete(upload, [only], { writable: false })).toMatchObject({ verdict: "queued" });
    await resume();
    const operation = await ended(23, idOf(key, "complete"));
    await pause();
    expect(operation).toMatchObject({ status: "FAILED", error_message: expect.stringContaining("10024") });
  });

  it("whose caller died after R2 had done it is found done, under another id too", async () => {
    const key = "landed-unheard";
    const known = await env.R2_BUCKET.createMultipartUpload(key);
    const upload = { ...native(20, key), uploadId: known.uploadId };
    await openAgain(upload);
    const only = await known.uploadPart(1, "text");
    await shard(20).partUploaded(key, known.uploadId, { ...only, size: 4, md5: await md5(text("text")) });
    expect(await complete(upload, [only], { deadlineMs: 1 })).toMatchObject({ verdict: "direct" });
    const { version } = await known.complete([only]);
    const again = { operationId: idOf(key, "again"), writable: false };
    expect(await complete(upload, [only], again)).toMatchObject({ verdict: "queued" });
    await resume();
    expect(await ended(20, again.operationId)).toMatchObject({ status: "COMPLETED" });
    await pause();
    expect((await env.R2_BUCKET.head(key))?.version).toBe(version);
  });

  test.each<{ rule: string; changes: Partial<CompleteUploadRequest> }>([
    { rule: "a part named twice", changes: { parts: [1, 1].map((partNumber) => ({ partNumber, etag: "x" })) } },
    { rule: "a part number of 0", changes: { parts: [{ partNumber: 0, etag: "x" }] } },
    { rule: "an operation id that is none", changes: { operationId: "none" } },
    { rule: "priority 11", changes: { priority: 11 } },
    { rule: "an empty key", changes: { key: "" } },
    { rule: "an upload id of 1,025 characters", changes: { uploadId: "u".repeat(1_025) } },
  ])("with $rule is refused before anything is looked at", async ({ changes }) => {
    expect(await complete(native(13, "bad"), [], changes)).toMatchObject({ ok: false, code: "INVALID_REQUEST" });
  });
});

describe("at rest, with a key", () => {
  const withKey = async (n: number, key: string | undefined) => {
    Object.assign(env, { PAYLOAD_ENCRYPTION_KEY: key });
    await restart(n);
  };
  const KEY = `key-a:${btoa("a".repeat(32))}`;
  const SSEC = "ab".repeat(32);

  it("no row shows a byte of a part, the upload's metadata or its customer key; what is drained is in clear", async () => {
    await withKey(14, KEY);
    const upload = await open(14, "sealed", { customMetadata: { patient: "Jane Roe" }, ssecKey: SSEC });
    expect(await send(upload, 1, text("no key"))).toMatchObject({ ok: false, r2Code: 10069 });
    const data = text("the quick brown fox. ".repeat(60_000));
    const answer = await send(upload, 1, streamOf(data, [60_000]), { ssecKey: SSEC });
    if (!answer.ok) throw new Error(answer.message);
    const dump = await runInDurableObject(shard(14), (_: QueueDO, state) =>
      ["uploads", "upload_parts", "payload_chunks", "operation_queue"]
        .flatMap((table) => [...state.storage.sql.exec(`SELECT * FROM ${table}`).raw()].flat())
        .map((value) => (value instanceof ArrayBuffer ? new TextDecoder().decode(value) : String(value)))
        .join("\n"),
    );
    for (const secret of ["quick brown", "Jane Roe", SSEC]) expect(dump).not.toContain(secret);
    expect(dump).toContain("key-a");

    expect(await complete(upload, [answer.part])).toMatchObject({ verdict: "queued" });
    // R2's etag will be another: its write is known by the number of its parts.
    expect(await rows(14, "SELECT fingerprint FROM operation_queue")).toEqual([{ fingerprint: "*-1" }]);
    const { pending } = await shard(14).peek("sealed");
    expect(pending?.metadata).toMatchObject({ customMetadata: { patient: "Jane Roe" }, ssecKey: SSEC });
    await resume();
    expect(await ended(14, idOf("sealed", "complete"))).toMatchObject({ status: "COMPLETED" });
    await pause();
    const object = await env.R2_BUCKET.head("sealed");
    expect(object?.customMetadata).toEqual({ patient: "Jane Roe" });
    expect(isSame((await inR2("sealed")) ?? text(""), data)).toBe(true);
    await withKey(14, undefined);
  });

  it("without one a customer key is refused", async () => {
    const upload = { n: 15, key: "ssec", uploadId: queueUploadId(), origin: "queue" as const };
    expect(await openAgain(upload, { ssecKey: SSEC })).toMatchObject({ ok: false, code: "SSEC_NEEDS_ENCRYPTION" });
    await openAgain(upload);
    expect(await send(upload, 1, text("x"), { ssecKey: SSEC })).toMatchObject({ code: "SSEC_NEEDS_ENCRYPTION" });
  });
});

describe("an upload that nobody completes", () => {
  const alarmOf = (n: number) => runInDurableObject(shard(n), (_: QueueDO, state) => state.storage.getAlarm());

  it("is let go after seven days, by an alarm that is set for then", async () => {
    const upload = await open(16, "forgotten");
    await part(upload, 1, bytes(2 * MIB));
    await restart(16);
    await shard(16).usage();
    const [row] = await rows<{ created_at: number }>(16, "SELECT created_at FROM uploads");
    await expect.poll(() => alarmOf(16), { timeout: 10_000 }).toBe((row?.created_at ?? 0) + 7 * DAY_MS);
    await rows(16, `UPDATE uploads SET created_at = created_at - ${7 * DAY_MS}`);
    await shard(16).poke();
    await expect
      .poll(() => counts(16), { timeout: 10_000 })
      .toMatchObject({ payload_chunks: 0, receipts: 0, freeing: 0 });
    expect(await send(upload, 2, text("late"))).toMatchObject(NO_UPLOAD);
    expect((await shard(16).usage()).bytes).toBe(0);
  });

  it("and was aborted is told to R2 again and again, more and more seldom, until R2 has heard it", async () => {
    const { uploadId } = await env.R2_BUCKET.createMultipartUpload("abort");
    expect(await shard(17).abortUpload("abort", uploadId)).toBe(true);
    await fault([{ operations: ["abort"] }]);
    await resume();
    const due = async () => {
      await rows(17, "UPDATE uploads SET abort_at = 0");
      await shard(17).poke();
    };
    for (const tries of [1, 2]) {
      await due();
      await expect
        .poll(() => rows(17, "SELECT abort_tries FROM uploads"), { timeout: 10_000 })
        .toEqual([{ abort_tries: tries }]);
    }
    const [row] = await rows<{ abort_at: number }>(17, "SELECT abort_at FROM uploads");
    expect((row?.abort_at ?? 0) - Date.now()).toBeGreaterThan(100_000);
    await fault([]);
    await due();
    await expect.poll(() => rows(17, "SELECT 1 FROM uploads"), { timeout: 15_000 }).toEqual([]);
    await pause();
  });
});
