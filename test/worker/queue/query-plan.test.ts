/** Every statement that runs per operation finds its rows by an index, as SQLite itself explains. */
import { runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, it, test } from "vitest";
import { CallStore } from "../../../durable-objects/queue/call-store";
import type { OperationRow } from "../../../durable-objects/queue/operation-row";
import { PayloadStore } from "../../../durable-objects/queue/payload-store";
import type { QueueDO } from "../../../durable-objects/queue/queue-do";
import { QueueStore } from "../../../durable-objects/queue/queue-store";
import { type PartRow, UploadStore } from "../../../durable-objects/queue/upload-store";
import { pause, putRequest, shard, start, stored, text } from "./support";

interface Stores {
  readonly store: QueueStore;
  readonly calls: CallStore;
  readonly payloads: PayloadStore;
  readonly uploads: UploadStore;
}

interface Explained {
  readonly query: string;
  readonly plan: string[];
}

const N = 1;

/** Runs `work` on stores of their own, and explains each statement that it executes. */
function explain(work: (stores: Stores, row: OperationRow) => void): Promise<Explained[]> {
  return runInDurableObject(shard(N), (_: QueueDO, state) => {
    const { sql } = state.storage;
    const explained: Explained[] = [];
    let isOn = false;
    const spy = new Proxy(sql, {
      get: (target, name) => {
        if (name !== "exec") return Reflect.get(target, name, target);
        return (query: string, ...bindings: SqlStorageValue[]) => {
          if (isOn) {
            const steps = target.exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${query}`, ...bindings).toArray();
            explained.push({ query, plan: steps.map(({ detail }) => detail) });
          }
          return target.exec(query, ...bindings);
        };
      },
    });
    const stores = {
      store: new QueueStore(spy),
      calls: new CallStore(spy),
      payloads: new PayloadStore(spy),
      uploads: new UploadStore(spy),
    };
    const [row] = stores.store.ready(1);
    if (row === undefined) throw new Error("no operation is ready");
    isOn = true;
    state.storage.transactionSync(() => {
      work(stores, row);
      isOn = false;
    });
    return explained;
  });
}

beforeAll(async () => {
  await start();
  await pause();
  for (let i = 0; i < 20; i += 1) stored(await shard(N).enqueue(putRequest(`plan-${i}`, "put"), text("x")));
});

const NOW = Date.now();

const UPLOAD = { upload_id: "u", key: "k", origin: "r2", r2_upload_id: "u", metadata: "", key_id: null } as const;
const PART: PartRow = {
  ...{ upload_id: "u", part_number: 1, etag: "e", size: 1, md5: "m", payload_id: "p", key_id: null, r2_etag: null },
};

/** An upload, and whatever else is done with it. */
function withUpload(work: (uploads: UploadStore) => void): (stores: Stores) => void {
  return ({ uploads }) => {
    uploads.open({ ...UPLOAD, created_at: NOW });
    work(uploads);
  };
}

describe("a statement that runs per operation scans no table", () => {
  test.each<{ name: string; work: (stores: Stores, row: OperationRow) => void }>([
    { name: "ready", work: ({ store }) => store.ready(10) },
    { name: "hasReady", work: ({ store }) => store.hasReady() },
    { name: "promote", work: ({ store }) => store.promote(NOW, 1_000, 10_000) },
    { name: "nextDue", work: ({ store }) => store.nextDue() },
    { name: "liveOf", work: ({ store }, row) => store.liveOf(row.key) },
    { name: "liveKeys", work: ({ store }) => store.liveKeys(17) },
    { name: "byOperationId", work: ({ store }, row) => store.byOperationId(row.operation_id) },
    { name: "claim", work: ({ store }, row) => store.claim(row, "lease", NOW, true) },
    { name: "isClaimed", work: ({ store }, row) => store.isClaimed(row.id, "lease") },
    { name: "release", work: ({ store }, row) => store.release(row, NOW, NOW) },
    { name: "schedule", work: ({ store }, row) => store.schedule(row.id, NOW) },
    { name: "finish", work: ({ store }, row) => store.finish(row, "SUPERSEDED", NOW) },
    { name: "oldestFinal", work: ({ store }) => store.oldestFinal() },
    { name: "sweepFinal", work: ({ store }) => store.sweepFinal(NOW, 500) },
    { name: "usage", work: ({ store }) => store.usage() },
    { name: "parkedAfter", work: ({ store }) => store.parkedAfter(0, 100) },
    { name: "calls of a key", work: ({ calls }, row) => calls.of(row.key) },
    { name: "a call by id", work: ({ calls }) => calls.get("id") },
    {
      name: "opening a call",
      work: ({ calls }, row) =>
        calls.open({ call_id: "c", key: row.key, kind: "drain", operation_id: null, until: NOW }),
    },
    { name: "closing a call", work: ({ calls }) => calls.close("c") },
    { name: "expired calls", work: ({ calls }) => calls.expire(NOW) },
    { name: "the next end of a call", work: ({ calls }) => calls.nextUntil() },
    { name: "the ledger of a key", work: ({ calls }, row) => calls.ledger(row.key, 0) },
    { name: "what was applied", work: ({ calls }, row) => calls.rememberApplied(row.key, "v", NOW) },
    { name: "sweeping the ledger", work: ({ calls }) => calls.sweepLedger(NOW) },
    {
      name: "a receipt",
      work: ({ payloads }, row) => {
        payloads.openReceipt("another", row.key);
        payloads.closeReceipt("another");
      },
    },
    { name: "a chunk", work: ({ payloads }, row) => payloads.read(row.operation_id, 0) },
    { name: "freeing a payload", work: ({ payloads }, row) => payloads.free(row.operation_id, 1) },
    { name: "an upload", work: withUpload((uploads) => uploads.get("u", "k")) },
    { name: "its parts", work: withUpload((uploads) => uploads.parts("u")) },
    {
      name: "a part that takes another's place",
      work: withUpload((uploads) => [PART, PART].map((p) => uploads.putPart(p))),
    },
    { name: "a part that is sent", work: withUpload((uploads) => uploads.sent(PART, "e")) },
    { name: "parts that are sent again", work: withUpload((uploads) => uploads.startAnew("u")) },
    { name: "the oldest upload", work: withUpload((uploads) => uploads.oldest()) },
    {
      name: "the next abort that is owed",
      work: ({ uploads }) => {
        uploads.openAborted("v", "k", NOW);
        uploads.dueAbort(NOW);
        uploads.nextAbort();
        uploads.putOffAbort("v", NOW);
      },
    },
    {
      name: "an upload that is let go",
      work: withUpload((uploads) => {
        const upload = uploads.get("u", "k");
        if (upload !== null) uploads.remove(upload);
      }),
    },
    {
      name: "freeing a slice",
      work: ({ payloads }, row) => {
        payloads.free(row.operation_id, Number.POSITIVE_INFINITY);
        payloads.freeSlice(() => false);
      },
    },
  ])("$name", async ({ work }) => {
    const explained = await explain(work);
    expect(explained.length).toBeGreaterThan(0);
    for (const { query, plan } of explained) {
      for (const step of plan) {
        // A scan of a partial or covering index in its order is one step of it when there is a LIMIT.
        const isScan = /^SCAN /.test(step) && !/ USING (COVERING )?INDEX /.test(step);
        const isSort = /USE TEMP B-TREE/.test(step);
        expect(isScan || isSort, `${query}\n${plan.join("\n")}`).toBe(false);
        if (/USING (COVERING )?INDEX/.test(step) && step.startsWith("SCAN")) expect(query).toMatch(/LIMIT|RETURNING/);
      }
    }
  });

  it("and pending keys of a range are sought, in order, in the index of live keys", async () => {
    const [explained] = await explain(({ store }) =>
      expect([...store.newestIn("plan-1", "plan-2", 5)]).toHaveLength(5),
    );
    expect(explained?.plan).toEqual([
      "SEARCH operation_queue USING INDEX idx_operation_queue_live_key (key>? AND key<?)",
    ]);
  });

  it("would be noticed if it did", async () => {
    const [explained] = await explain(({ store }) => store.list({ limit: 10, userId: "u" }));
    expect(explained?.plan.join()).toContain("operation_queue");
    const scans = await runInDurableObject(shard(N), (_: QueueDO, state) =>
      state.storage.sql
        .exec<{ detail: string }>("EXPLAIN QUERY PLAN SELECT * FROM operation_queue WHERE etag = 'x'")
        .toArray(),
    );
    expect(scans.map(({ detail }) => detail)).toEqual(["SCAN operation_queue"]);
  });
});
