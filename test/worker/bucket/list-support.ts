/** Queued writes put straight into a world's queue, and lists as data. */
import { env } from "cloudflare:workers";
import { refreshNow } from "../../../src/bucket/isolate-service";
import { putOptions } from "../../../src/bucket/put-options";
import { hashKey, shardOf } from "../../../src/shared/keys";
import type { PendingOperation, PutMetadata, ShardView } from "../../../src/shared/protocol";
import { md5Of, SHARDS, type World } from "./world";

let epochs = 0;

export const PLAIN: PutMetadata = {
  httpMetadata: {},
  customMetadata: {},
  checksum: null,
  storageClass: null,
  ssecKey: null,
};

/** A write is queued. The isolate is not told. */
export async function pend(world: World, key: string, value: string | null, metadata = PLAIN): Promise<void> {
  const bytes = new TextEncoder().encode(value ?? "");
  // What R2 has got before is older.
  const now = Date.now() + 1;
  const pending: PendingOperation = {
    kind: value === null ? "delete" : "put",
    metadata: value === null ? null : metadata,
    fenceAt: now + 1,
    firstCallAt: null,
    inline: value === null ? null : bytes,
    stored: {
      operationId: `${shardOf(key, SHARDS)}-${hashKey(key).toString(16).padStart(8, "0")}-x`,
      status: "PENDING",
      key,
      size: bytes.byteLength,
      etag: value === null ? "" : await md5Of(bytes),
      checksums: {},
      enqueuedAt: now,
    },
  };
  world.pending.set(key, pending);
}

/** R2 gets objects, past all of this. */
export async function fill(...keys: string[]): Promise<void> {
  for (const key of keys) await env.R2_BUCKET.put(key, `old ${key}`);
}

export async function empty(): Promise<void> {
  const { objects } = await env.R2_BUCKET.list();
  await env.R2_BUCKET.delete(objects.map(({ key }) => key));
}

/** The isolate learns which shards are busy. */
export async function tell(world: World): Promise<void> {
  epochs += 1_000;
  const shards = Array.from({ length: SHARDS }, (_, shard): ShardView => {
    const isBusy = [...world.pending.keys()].some((key) => shardOf(key, SHARDS) === shard);
    return { shard, epoch: epochs, busy: isBusy ? "all" : null };
  });
  world.change({ shards });
  await refreshNow(world.env, "R2_STORAGE");
  world.r2Calls = [];
  world.ranges = [];
}

/** R2 gets what is queued, as from the drain. The isolate is not told. */
export async function drainAll(world: World): Promise<void> {
  for (const [key, { kind, inline, metadata }] of world.pending) {
    if (kind === "delete") await env.R2_BUCKET.delete(key);
    else await env.R2_BUCKET.put(key, inline, metadata === null ? {} : putOptions(metadata));
  }
  world.pending.clear();
}

/** A list in short: keys, prefixes with `…`, and whether there is more. */
export function lines({ objects, delimitedPrefixes, truncated }: R2Objects): string {
  const names = [...objects.map(({ key }) => key), ...delimitedPrefixes.map((prefix) => `${prefix}…`)];
  return `${names.join(" ")}${truncated ? " and more" : ""}`;
}

/** Every page of a list. */
export async function walk(list: (cursor?: string) => Promise<R2Objects>): Promise<R2Objects[]> {
  const pages: R2Objects[] = [];
  for (let page = await list(); ; page = await list(page.cursor)) {
    pages.push(page);
    if (!page.truncated) return pages;
  }
}
