/** What a shard does beside draining: lost alarms, retention, payloads that are freed, and the way back to calm. */
import { runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, it } from "vitest";
import { PayloadStore } from "../../../durable-objects/queue/payload-store";
import type { QueueDO } from "../../../durable-objects/queue/queue-do";
import {
  BY,
  bytes,
  counts,
  EMPTY,
  ended,
  fault,
  isSame,
  MIB,
  mode,
  pause,
  putRequest,
  restart,
  resume,
  rows,
  service,
  shard,
  start,
  statusOf,
  stored,
  streamOf,
  text,
} from "./support";

const DAY_MS = 86_400_000;

beforeAll(async () => {
  await start();
});

const put = async (n: number, key: string, id: string, data: Uint8Array = text(id)) =>
  stored(await shard(n).enqueue(putRequest(key, id), data)).operationId;
const alarmOf = (n: number) => runInDurableObject(shard(n), (_: QueueDO, state) => state.storage.getAlarm());
const deleteAlarm = (n: number) => runInDurableObject(shard(n), (_: QueueDO, state) => state.storage.deleteAlarm());
const soon = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("an alarm that was lost", () => {
  /** An operation that waits for a fence, with no other reason to wake up. */
  async function waiting(n: number): Promise<string> {
    await resume();
    await shard(n).quarantine("lost", null, { callId: "q", startedMsAgo: 1, fenceInMs: 3_000 });
    const id = await put(n, "lost", "put");
    await soon(1_500);
    await deleteAlarm(n);
    await soon(2_000);
    expect(await alarmOf(n)).toBeNull();
    expect(await statusOf(n, id)).toBe("PENDING");
    return id;
  }

  it("is set again by a poke", async () => {
    const id = await waiting(0);
    await shard(0).poke();
    expect((await ended(0, id)).status).toBe("COMPLETED");
  });

  it("is set again when the object is made anew", async () => {
    const id = await waiting(1);
    await restart(1);
    await shard(1).usage();
    expect((await ended(1, id)).status).toBe("COMPLETED");
  });

  it("is found by the service's poke, which comes with the cron trigger", async () => {
    const id = await waiting(2);
    await service().poke();
    expect((await ended(2, id)).status).toBe("COMPLETED");
  });
});

describe("retention", () => {
  const age = (n: number, days: number) =>
    rows(n, `UPDATE operation_queue SET completed_at = completed_at - ${days * DAY_MS}`);

  it("keeps final operations for its days, and sweeps them then", async () => {
    await resume();
    const id = await put(3, "old", "put");
    await ended(3, id);
    await age(3, 6.9);
    await shard(3).poke();
    await soon(300);
    expect(await statusOf(3, id)).toBe("COMPLETED");
    await age(3, 0.2);
    await shard(3).poke();
    await expect.poll(() => statusOf(3, id), { timeout: 5_000 }).toBe("UNKNOWN");
    expect(await shard(3).usage()).toMatchObject({ completed: 0 });
  });

  it("accounts for every operation that was ever accepted, also across a restart", async () => {
    await resume();
    const before = await shard(5).usage();
    const account = async () => {
      const { accepted = 0, swept = 0, completed } = await shard(5).usage();
      return { accepted: accepted - (before.accepted ?? 0), swept: swept - (before.swept ?? 0), completed };
    };
    for (const key of ["one", "two", "three"]) await ended(5, await put(5, key, "put"));
    expect(await account()).toEqual({ accepted: 3, swept: 0, completed: 3 });
    await age(5, 8);
    await shard(5).poke();
    await expect.poll(account, { timeout: 5_000 }).toEqual({ accepted: 3, swept: 3, completed: 0 });
    await restart(5);
    expect(await account()).toEqual({ accepted: 3, swept: 3, completed: 0 });
    // A row that disappears in any other way is missed.
    const id = await put(5, "four", "put");
    await ended(5, id);
    await rows(5, `DELETE FROM operation_queue WHERE operation_id = '${id}'`);
    await restart(5);
    expect(await account()).toEqual({ accepted: 4, swept: 3, completed: 0 });
  });

  it("lets an id name a new operation once its old one is swept", async () => {
    await resume();
    const id = await put(4, "again", "put", text("first"));
    await ended(4, id);
    await age(4, 8);
    await shard(4).poke();
    await expect.poll(() => statusOf(4, id), { timeout: 5_000 }).toBe("UNKNOWN");
    await put(4, "again", "put", text("another payload"));
    expect((await ended(4, id)).status).toBe("COMPLETED");
  });

  it("never sweeps a dead letter, nor what is pending", async () => {
    await pause();
    const pending = await put(5, "pending", "put");
    const dead = await put(5, "dead", "put");
    await rows(5, "UPDATE operation_queue SET phase = 'parked', status = 'FAILED' WHERE key = 'dead'");
    await rows(
      5,
      `UPDATE operation_queue SET created_at = created_at - ${400 * DAY_MS}, updated_at = updated_at - ${400 * DAY_MS}`,
    );
    await restart(5);
    await shard(5).poke();
    await soon(300);
    expect([await statusOf(5, pending), await statusOf(5, dead)]).toEqual(["PENDING", "FAILED"]);
    await shard(5).cancel(dead, BY);
    await shard(5).cancel(pending, BY);
  });
});

describe("a large payload", () => {
  const CHUNKS = 18;
  const whole = () => {
    const data = new Uint8Array(CHUNKS * MIB);
    for (let n = 0; n < CHUNKS; n += 1) data.set(bytes(MIB, n), n * MIB);
    return data;
  };
  const takeIn = async (n: number) => {
    await pause();
    const request = putRequest("large", "put");
    stored(await shard(n).enqueue(request, streamOf(whole(), [MIB])));
    return request.operationId;
  };

  it("is freed in slices once its operation has ended", async () => {
    const id = await takeIn(6);
    const left = await runInDurableObject(shard(6), (_: QueueDO, state) => {
      const { sql } = state.storage;
      const chunks = () => sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM payload_chunks").one().n;
      const payloads = new PayloadStore(sql);
      payloads.free(id, CHUNKS * MIB);
      const seen = [chunks()];
      while (payloads.hasFreeable(() => false)) {
        payloads.freeSlice(() => false);
        seen.push(chunks());
      }
      return seen;
    });
    expect(left).toEqual([18, 2, 0]);
  });

  it("leaves no row behind, though nothing else wakes the shard", async () => {
    const id = await takeIn(7);
    await shard(7).cancel(id, BY);
    await expect.poll(() => counts(7), { timeout: 10_000 }).toMatchObject(EMPTY);
  });

  it("is kept for a reader who is in the midst of it, and freed when the reader has ended", async () => {
    const id = await takeIn(8);
    const stream = await shard(8).payload(id, 0, CHUNKS * MIB);
    const reader = stream?.getReader();
    const first = await reader?.read();
    await shard(8).cancel(id, BY);
    await soon(500);
    expect(await counts(8)).toMatchObject({ payload_chunks: CHUNKS });

    const pieces = [first?.value ?? new Uint8Array()];
    for (let next = await reader?.read(); next?.value !== undefined; next = await reader?.read())
      pieces.push(next.value);
    const read = new Uint8Array(await new Blob(pieces).arrayBuffer());
    expect(isSame(read, whole())).toBe(true);
    await expect.poll(() => counts(8), { timeout: 10_000 }).toMatchObject(EMPTY);
  });

  it("is freed also when its reader goes away in the midst of it", async () => {
    const id = await takeIn(9);
    const stream = await shard(9).payload(id, 0, CHUNKS * MIB);
    const reader = stream?.getReader();
    await reader?.read();
    await shard(9).cancel(id, BY);
    await reader?.cancel();
    await expect.poll(() => counts(9), { timeout: 10_000 }).toMatchObject(EMPTY);
  });
});

describe("a payload that R2 refused unread", () => {
  it("is freed like any other once its operation has ended", async () => {
    await mode("forced_closed");
    await resume();
    await fault([{ operations: ["put"], error_code: 10043 }]);
    const id = await put(12, "unread", "put", bytes(2.5 * MIB));
    await expect.poll(async () => (await shard(12).operation(id))?.error_message ?? "").toContain("(10043)");
    await fault([]);
    expect((await ended(12, id)).status).toBe("COMPLETED");
    await expect.poll(() => counts(12), { timeout: 10_000 }).toMatchObject({ payload_chunks: 0, freeing: 0 });
    await mode("auto");
  });
});

describe("a shard that has drained", () => {
  it("is calm again, at a higher epoch than it began with, and sets no alarm but that of retention", async () => {
    await resume();
    const before = (await shard(10).peek("calm")).shard;
    const id = await put(10, "calm", "put");
    expect((await shard(10).peek("calm")).shard.busy).not.toBeNull();
    await ended(10, id);
    await expect.poll(async () => (await shard(10).peek("calm")).shard.busy, { timeout: 10_000 }).toBeNull();
    expect((await shard(10).peek("calm")).shard.epoch).toBeGreaterThan(before.epoch);
    await expect.poll(() => counts(10), { timeout: 10_000 }).toMatchObject({ ...EMPTY, ledger: 1 });
    await soon(300);
    expect((await alarmOf(10)) ?? 0).toBeGreaterThan(Date.now() + 6 * DAY_MS);
  });

  it("answers a repeated read of its payload with null, so that the reader looks into R2", async () => {
    await resume();
    const id = await put(11, "drained", "put");
    await ended(11, id);
    expect(await shard(11).payload(id, 0, 3)).toBeNull();
  });
});
