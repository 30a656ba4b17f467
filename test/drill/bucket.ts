/** R2 as it lies on disk, read by Miniflare alone: not one line of this project's Worker runs here. */
import { join } from "node:path";
import { Miniflare } from "miniflare";
import { storedValue } from "./client.ts";
import type { StoredValue } from "./oracle.ts";

/** The project's own objects (canaries) live below this prefix, and are nobody's files. */
const RESERVED_PREFIX = ".r2-failover/";

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
            modules: { "index.mjs": { type: "esm", contents: "export default {}" } },
          },
          env: { BUCKET: { type: "r2", name: "r2-failover" } },
          exports: {},
        },
      },
    ],
  });
  try {
    const bucket = await miniflare.getR2Bucket("BUCKET");
    const objects = new Map<string, StoredValue>();
    let cursor: string | undefined;
    do {
      const page = await bucket.list(cursor === undefined ? {} : { cursor });
      for (const { key } of page.objects) {
        const object = key.startsWith(RESERVED_PREFIX) ? null : await bucket.get(key);
        if (object === null) continue;
        const told = {
          etag: object.etag,
          contentType: object.httpMetadata?.contentType ?? "",
          customMetadata: object.customMetadata ?? {},
        };
        objects.set(key, storedValue(new Uint8Array(await object.arrayBuffer()), told));
      }
      cursor = page.truncated ? page.cursor : undefined;
    } while (cursor !== undefined);
    return objects;
  } finally {
    await miniflare.dispose();
  }
}
