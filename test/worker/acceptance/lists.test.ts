/** Lists in an outage and while it drains, with the real objects, beside the list that R2 would give of the same objects. */
import { env } from "cloudflare:workers";
import { beforeAll, expect, test } from "vitest";
import type { FailoverBucket } from "../../../src/bucket/failover-bucket";
import { createIsolates, type Isolate } from "../model/isolates";
import { configureQueues, pause, TestService } from "../model/service";

let open: ((service: string) => Isolate)[];
let opened = 0;

beforeAll(async () => {
  // The isolates first: they load the library anew, and the objects with it.
  open = await createIsolates(2);
  await configureQueues();
});

interface Scene {
  readonly service: TestService;
  readonly writer: Isolate;
  readonly other: Isolate;
  /** Below it R2 holds, untouched, what the service's own part of the bucket comes to. */
  readonly twin: string;
}

/** A service with objects in R2, and then no more writes to R2: some new, some overwritten, some deleted. */
async function outageOfWrites(): Promise<Scene> {
  opened += 1;
  const config = { read_timeout_ms: 10_000, write_timeout_ms: 2_000, lease_cap_ms: 500 };
  const service = await TestService.open(`LISTS_${opened}`, open, config);
  const [writer, other] = service.isolates as [Isolate, Isolate];
  const scene = { service, writer, other, twin: `${service.name}-twin/` };
  for (let n = 0; n < 24; n += 1) await store(scene, n, "before");
  await service.setPaused(true);
  await service.setMode("forced_open", [writer]);
  for (let n = 20; n < 32; n += 1) await store(scene, n, "queued in the outage");
  for (let n = 0; n < 24; n += 4) {
    expect((await writer.bounded.remove(`${service.name}/${nameOf(n)}`)).kind).toBe("queued");
    await env.R2_BUCKET.delete(`${scene.twin}${nameOf(n)}`);
  }
  return scene;
}

/** Folders of one file and of several, and files beside them. */
const nameOf = (n: number) => (n % 3 === 0 ? `folder-${n % 4}/file-${n}` : `${n % 2 === 0 ? "a" : "💾"}-${n}`);

async function store({ service, writer, twin }: Scene, n: number, value: string): Promise<void> {
  const metadata = { httpMetadata: { contentType: "text/x" }, customMetadata: { n: String(n) } };
  await writer.bounded.put(`${service.name}/${nameOf(n)}`, `${value} ${n}`, metadata);
  await env.R2_BUCKET.put(`${twin}${nameOf(n)}`, `${value} ${n}`, metadata);
}

async function walk(bucket: R2Bucket, root: string, options: R2ListOptions) {
  const pages: unknown[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await bucket.list({ ...options, prefix: `${root}${options.prefix ?? ""}`, ...(cursor && { cursor }) });
    pages.push({
      objects: page.objects.map(({ key, size, etag, httpMetadata, customMetadata }) => ({
        ...{ key: key.slice(root.length), size, etag, httpMetadata, customMetadata },
      })),
      delimitedPrefixes: page.delimitedPrefixes.map((prefix) => prefix.slice(root.length)),
    });
    if (!page.truncated) return pages;
    cursor = page.cursor;
  }
}

const LISTS: R2ListOptions[] = [
  {},
  { limit: 5 },
  { limit: 3, delimiter: "/" },
  { limit: 4, delimiter: "-", include: ["customMetadata"] },
  { prefix: "folder-", limit: 2, include: ["httpMetadata", "customMetadata"] },
  { prefix: "folder-1/", delimiter: "/" },
  { prefix: "none" },
];

async function expectTwins(bucket: FailoverBucket, { service, twin }: Scene): Promise<void> {
  for (const options of LISTS) {
    expect(await walk(bucket, `${service.name}/`, options)).toEqual(await walk(env.R2_BUCKET, twin, options));
  }
}

test("a list has what is queued: at once for who wrote it and with `strong`, for others within a lease", async () => {
  const scene = await outageOfWrites();
  await expectTwins(scene.writer.bounded, scene);
  await expectTwins(scene.other.strong, scene);
  await pause(600);
  await expectTwins(scene.other.bounded, scene);
  await scene.service.heal();
  await scene.service.drained(30_000);
  await expectTwins(scene.other.bounded, scene);
}, 120_000);

test("while the queue drains no page misses a key, or has one twice", async () => {
  const scene = await outageOfWrites();
  const { service, writer, other } = scene;
  await service.heal();
  let isDrained = false;
  const drained = service.drained(60_000).finally(() => {
    isDrained = true;
  });
  let walks = 0;
  // Also on a machine that is too slow for all of them before the drain has ended.
  while (!isDrained || walks < LISTS.length) {
    const bucket = [writer.bounded, other.strong, other.bounded][walks % 3] as FailoverBucket;
    const options = LISTS[walks % LISTS.length] as R2ListOptions;
    expect(await walk(bucket, `${service.name}/`, options)).toEqual(await walk(env.R2_BUCKET, scene.twin, options));
    walks += 1;
  }
  await drained;
  await expectTwins(writer.bounded, scene);
}, 120_000);
