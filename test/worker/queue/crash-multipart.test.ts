/**
 * A shard dies at each await that multipart uploads have, once before the step's work is done and once right after it,
 * as in crash.test.ts. In the end R2 holds what was acknowledged, with the etag that its caller was told, and the shard
 * holds nothing of what was completed, aborted, or given up.
 */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { QueueDO } from "../../../durable-objects/queue/queue-do";
import { atOnce } from "../../../src/shared/at-once";
import { queueUploadId } from "../../../src/shared/keys";
import type { CompleteUploadRequest, NamedPart, UploadOrigin } from "../../../src/shared/multipart-protocol";
import type { Answer } from "../../../src/shared/protocol";
import { type Crash, MULTIPART_CRASHES } from "./crash-table";
import { bytes, counts, idOf, isSame, MIB, PLAIN, pause, resume, rows, shard, start, streamOf, text } from "./support";

interface Plan extends Crash {
  readonly n: number;
  readonly moment: "before" | "after";
  readonly sendsAgain: boolean;
}

const TAKES_IN = /^(upload|enqueue|complete)\./;
const PLANS: readonly Plan[] = MULTIPART_CRASHES.flatMap((crash) => {
  const both = [
    { ...crash, moment: "before", sendsAgain: true },
    { ...crash, moment: "after", sendsAgain: true },
  ] as const;
  return TAKES_IN.test(crash.step) ? [...both, { ...crash, moment: "after", sendsAgain: false } as const] : both;
}).map((plan, n) => ({ ...plan, n }));

const nameOf = ({ step, nth, moment, sendsAgain }: Plan) =>
  `${moment} the work of ${step} (${nth}), and its caller ${sendsAgain ? "sends again" : "gives up"}`;

const TRIES = 5;
const LARGE = 5 * MIB;
/** Where two parts, and the many chunks of a large one, make a difference. 5 MiB each time would take a minute. */
const NEEDS_LARGE = /^(enqueue\.|apply\.part)/;

interface Upload {
  readonly key: string;
  readonly uploadId: string;
  readonly data: readonly Uint8Array[];
  /** What the caller was told; null: nothing. */
  etag: string | null;
}

class Story {
  readonly uploads: Upload[] = [];
  hasDied = false;

  constructor(readonly plan: Plan) {}

  async arm(): Promise<void> {
    const { n, step: where, nth, moment } = this.plan;
    let seen = 0;
    await runInDurableObject(shard(n), (instance: QueueDO, state) => {
      instance.steps = {
        at: async (step, work) => {
          if (step !== where || this.hasDied) return await work;
          seen += 1;
          if (seen !== nth) return await work;
          if (moment === "after") await work.catch(() => undefined);
          this.hasDied = true;
          state.abort(`died ${moment} ${where}`);
          return await work;
        },
      };
    });
  }

  /** Null: the shard died, and the caller gives up. */
  async #send<T>(call: () => Promise<T>): Promise<T | null> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await call();
      } catch (error) {
        if (!this.hasDied) throw error;
        if (!this.plan.sendsAgain) return null;
        if (tries === TRIES) throw error;
      }
    }
  }

  async begin(name: string, origin: UploadOrigin, data: readonly Uint8Array[]): Promise<Upload> {
    const key = `crash/${this.plan.n}/${name}`;
    const metadata = { ...PLAIN, customMetadata: { note: name } };
    const { customMetadata } = metadata;
    const uploadId =
      origin === "queue"
        ? queueUploadId()
        : (await env.R2_BUCKET.createMultipartUpload(key, { customMetadata })).uploadId;
    const upload: Upload = { key, uploadId, data, etag: null };
    this.uploads.push(upload);
    await this.#send(async () => {
      const refusal = await shard(this.plan.n).openUpload({ uploadId, key, origin, metadata });
      if (refusal !== null) throw new Error(refusal.message);
    });
    return upload;
  }

  async part({ key, uploadId, data }: Upload, partNumber: number): Promise<NamedPart | null> {
    const bytesOfPart = data[partNumber - 1] ?? expect.fail("no such part");
    return this.#send(async () => {
      const body = bytesOfPart.byteLength > MIB ? streamOf(bytesOfPart, [65_536]) : bytesOfPart;
      const request = { uploadId, key, partNumber, size: null, ssecKey: null };
      const answer = (await shard(this.plan.n).uploadPart(request, body)) as Answer<{ part: NamedPart }>;
      if (!answer.ok) throw new Error(answer.message);
      return answer.part;
    });
  }

  /** Its part is in R2, and the shard is told of it. */
  async partInR2({ key, uploadId, data }: Upload): Promise<NamedPart> {
    const [only] = data;
    if (only === undefined) throw new Error("no such part");
    const part = await env.R2_BUCKET.resumeMultipartUpload(key, uploadId).uploadPart(1, only);
    const md5 = hex(await crypto.subtle.digest("MD5", only));
    await this.#send(async () =>
      shard(this.plan.n).partUploaded(key, uploadId, { ...part, size: only.byteLength, md5 }),
    );
    return part;
  }

  async complete(upload: Upload, parts: (NamedPart | null)[], changes: Partial<CompleteUploadRequest> = {}) {
    const { key, uploadId } = upload;
    const named = parts.filter((part) => part !== null);
    if (named.length < parts.length) return;
    const reply = await this.#send(async () => {
      const answer = await shard(this.plan.n).completeUpload({
        operationId: idOf(key, "complete"),
        uploadId,
        key,
        origin: uploadId.startsWith("queued-") ? "queue" : "r2",
        parts: named,
        writable: false,
        deadlineMs: 200,
        ...{
          priority: 5,
          userId: null,
          fileId: null,
          maxRetries: null,
          directCall: null,
          precededBy: null,
          ticket: null,
        },
        ...changes,
      });
      if (!answer.ok) throw new Error(answer.message);
      return answer;
    });
    if (reply?.verdict === "queued") upload.etag = reply.stored.etag;
  }

  async abort({ key, uploadId }: Upload): Promise<void> {
    await this.#send(async () => shard(this.plan.n).abortUpload(key, uploadId));
  }
}

function hex(digest: ArrayBuffer): string {
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function takeIn(story: Story): Promise<void> {
  const { n } = story.plan;
  const last = text(`last ${n}`);
  const data = NEEDS_LARGE.test(story.plan.step) ? [bytes(LARGE, n), last] : [last];
  const queued = await story.begin("queued", "queue", data);
  const parts: (NamedPart | null)[] = [];
  for (const index of data.keys()) parts.push(await story.part(queued, index + 1));
  await story.complete(queued, parts);

  const inR2 = await story.begin("in-r2", "r2", [text(`in R2 ${n}`)]);
  await story.complete(inR2, [await story.partInR2(inR2)]);

  // A direct completion whose end is unknown may yet land; another call on the key was given up, and nothing is queued of it.
  const unknown = { callId: `call-${n}`, startedMsAgo: 5, fenceInMs: 300 };
  const feared = await story.begin("feared", "r2", [text(`feared ${n}`)]);
  await story.complete(feared, [await story.partInR2(feared)], { directCall: unknown });
  const verified = await story.begin("verified", "queue", [text(`verified ${n}`)]);
  const part = await story.part(verified, 1);
  await shard(n).quarantine(verified.key, "0:0:0", { ...unknown, callId: `given-up-${n}` });
  await story.complete(verified, [part]);

  const aborted = await story.begin("aborted", "r2", [text(`aborted ${n}`)]);
  await story.part(aborted, 1);
  await story.abort(aborted);
}

/** What an application does with uploads that it could not finish. A queued completion is past that. */
async function giveUpTheRest(story: Story): Promise<void> {
  for (const upload of story.uploads) await story.abort(upload);
}

const stories = PLANS.map((plan) => new Story(plan));

async function left(n: number): Promise<Record<string, number>> {
  const { receipts = 1, payload_chunks = 1, freeing = 1, outstanding_calls = 1 } = await counts(n);
  const [row] = await rows<{ live: number; uploads: number; parts: number }>(
    n,
    `SELECT (SELECT COUNT(*) FROM operation_queue WHERE phase <> 'final') AS live, (SELECT COUNT(*) FROM uploads) AS uploads,
       (SELECT COUNT(*) FROM upload_parts) AS parts`,
  );
  return { receipts, payload_chunks, freeing, outstanding_calls, ...row };
}

const NOTHING = { receipts: 0, payload_chunks: 0, freeing: 0, outstanding_calls: 0, live: 0, uploads: 0, parts: 0 };

async function isDrained(n: number): Promise<boolean> {
  try {
    // One that died with its shard would be repeated after a minute or two.
    await rows(n, "UPDATE uploads SET abort_at = 0 WHERE state = 'aborted'");
    await shard(n).poke();
    return Object.values(await left(n)).every((count) => count === 0);
  } catch {
    // It dies at this very moment.
    return false;
  }
}

beforeAll(async () => {
  expect(PLANS.length).toBeLessThanOrEqual(64);
  await start({ write_timeout_ms: 1_000, read_timeout_ms: 1_000 });
  await pause();
  await atOnce(4, stories, async (story) => {
    await story.arm();
    await takeIn(story);
    await giveUpTheRest(story);
    if (!story.hasDied) await story.arm();
  });
  await resume();
  await Promise.all(
    stories.map(({ plan: { n } }) => vi.waitUntil(() => isDrained(n), { timeout: 120_000, interval: 250 })),
  ).catch(() => undefined);
}, 300_000);

describe.each(stories.map((story) => ({ name: nameOf(story.plan), story })))("a shard that dies $name", ({ story }) => {
  const { n } = story.plan;

  it("has died", () => {
    expect(story.hasDied).toBe(true);
  });

  it("leaves in R2 each completed upload, with its bytes, its metadata and the etag that its caller was told", async () => {
    for (const { key, data, etag } of story.uploads) {
      const object = await env.R2_BUCKET.get(key);
      const name = key.split("/").at(-1) ?? "";
      if (name === "aborted") expect(object).toBeNull();
      if (story.plan.sendsAgain && name !== "aborted") expect(etag, name).not.toBeNull();
      if (etag !== null) expect(object, name).toMatchObject({ etag, customMetadata: { note: name } });
      if (object === null) continue;
      const whole = new Uint8Array(await new Blob([...data]).arrayBuffer());
      expect(isSame(new Uint8Array(await object.arrayBuffer()), whole), name).toBe(true);
    }
  });

  it("ends each operation once", async () => {
    for (const { operation_id, status } of await shard(n).operations({ limit: 100 })) {
      expect([operation_id, status]).toEqual([operation_id, "COMPLETED"]);
    }
  });

  it("holds nothing any more, and says so", async () => {
    expect(await left(n)).toEqual(NOTHING);
    expect(await shard(n).usage()).toMatchObject({ pending: 0, processing: 0, failed: 0, bytes: 0, oldestAt: null });
    await expect.poll(async () => (await shard(n).peek("x")).shard.busy, { timeout: 10_000 }).toBeNull();
  });
});
