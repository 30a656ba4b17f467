/** R2 as it lies on disk, read by Miniflare alone: not one line of the system under test runs here. */
import { join } from "node:path";
import { Miniflare } from "miniflare";
import { storedValue } from "./client.ts";
import { eachConcurrently } from "./concurrently.ts";
import type { StoredValue } from "./oracle.ts";

/** The project's own objects (canaries) live below this prefix, and are nobody's files. */
const RESERVED_PREFIX = ".r2-failover/";

/** Reads one object. Miniflare's own proxy of a bucket takes ten times as long. */
const READER = `export default {
  async fetch(request, { BUCKET }) {
    const object = await BUCKET.get(new URL(request.url).searchParams.get("key"));
    const { etag, httpMetadata, customMetadata } = object;
    const told = { etag, contentType: httpMetadata.contentType ?? "", customMetadata };
    return new Response(object.body, { headers: { told: encodeURIComponent(JSON.stringify(told)) } });
  },
};`;

/** Every object of the bucket of a stopped system, by key. */
export async function readBucket(persistTo: string): Promise<Map<string, StoredValue>> {
  const miniflare = new Miniflare({
    // Where `wrangler dev --persist-to` keeps its resources.
    resourcePersistencePath: join(persistTo, "v3"),
    telemetry: { enabled: false },
    workers: [
      {
        config: {
          name: "reader",
          compatibilityDate: "2026-10-01",
          manifest: {
            mainModule: "index.mjs",
            modulesRoot: persistTo,
            modules: { "index.mjs": { type: "esm", contents: READER } },
          },
          env: { BUCKET: { type: "r2", name: "r2-failover" } },
          exports: {},
        },
      },
    ],
  });
  try {
    const objects = new Map<string, StoredValue>();
    await eachConcurrently(await allKeys(miniflare), 8, async (key) => {
      const response = await miniflare.dispatchFetch(`http://reader/?key=${encodeURIComponent(key)}`);
      if (!response.ok) throw new Error(`R2's object ${key} could not be read: ${await response.text()}`);
      const body = new Uint8Array(await response.arrayBuffer());
      objects.set(key, storedValue(body, JSON.parse(decodeURIComponent(response.headers.get("told") ?? ""))));
    });
    return objects;
  } finally {
    await miniflare.dispose();
  }
}

async function allKeys(miniflare: Miniflare): Promise<string[]> {
  const bucket = await miniflare.getR2Bucket("BUCKET");
  const keys: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await bucket.list(cursor === undefined ? {} : { cursor });
    keys.push(...page.objects.map(({ key }) => key));
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor !== undefined);
  return keys.filter((key) => !key.startsWith(RESERVED_PREFIX));
}
