/** A drain claims ahead, so that one commit serves several operations. What was claimed and not begun leaves no trace. */
import { beforeAll, describe, expect, it, vi } from "vitest";
import { BY, configure, counts, pause, putRequest, resume, rows, service, shard, start, text } from "./support";

const OPERATIONS = 60;
const IN_FLIGHT = 6;

beforeAll(() => start({ circuit_breaker_timeout: 3_600_000 }));

/** A paused shard with more operations than it has in flight. */
async function fill(n: number): Promise<void> {
  await pause();
  for (let i = 0; i < OPERATIONS; i += 1) {
    const key = `ahead/${n}/${i}`;
    await shard(n).enqueue(putRequest(key, "a"), text(key));
  }
}

async function claimed(n: number): Promise<number> {
  const [row] = await rows<{ n: number }>(n, "SELECT COUNT(*) AS n FROM operation_queue WHERE phase = 'claimed'");
  return row?.n ?? 0;
}

async function drained(n: number): Promise<void> {
  await vi.waitUntil(async () => (await shard(n).usage()).completed === OPERATIONS, { timeout: 20_000, interval: 20 });
}

describe("claims ahead", () => {
  it("are given back when all slots hang: what hangs is all that is held", async () => {
    await configure({ write_timeout_ms: 20_000 });
    await fill(1);
    await service().setFaults([{ operations: ["put"], latency_ms: 4_000 }], BY);
    await resume();

    await vi.waitUntil(async () => (await claimed(1)) > IN_FLIGHT, { timeout: 5_000, interval: 5 });
    await vi.waitUntil(async () => (await claimed(1)) === IN_FLIGHT, { timeout: 3_500, interval: 20 });

    const [others] = await rows(
      1,
      `SELECT COUNT(*) AS operations, SUM(phase = 'ready') AS ready, SUM(first_call_at IS NOT NULL) AS tried,
         (SELECT COUNT(*) FROM outstanding_calls) AS calls
       FROM operation_queue WHERE phase <> 'claimed'`,
    );
    const left = OPERATIONS - IN_FLIGHT;
    expect(others).toEqual({ operations: left, ready: left, tried: 0, calls: IN_FLIGHT });
    await service().setFaults([], BY);
    await drained(1);
  });

  it("are given back at the first failure: what was not tried does not look tried", async () => {
    await configure({ write_timeout_ms: 200 });
    await fill(2);
    await service().setFaults([{ operations: "write", latency_ms: 20, error_code: 10001 }], BY);
    await resume();

    const isOpen = async () => (await service().overview()).record.circuits.write.state === "OPEN";
    await vi.waitUntil(isOpen, { timeout: 10_000, interval: 5 });
    await vi.waitUntil(async () => (await claimed(2)) === 0, { timeout: 5_000, interval: 20 });
    const operations = await rows<{ failures: number; tried: number }>(
      2,
      "SELECT failure_count AS failures, first_call_at IS NOT NULL AS tried FROM operation_queue",
    );
    expect(operations.filter(({ failures, tried }) => tried !== Math.min(1, failures))).toEqual([]);
    expect(operations.filter(({ tried }) => tried === 0)).not.toEqual([]);
    await service().setFaults([], BY);
    await service().setMode({ mode: "forced_closed", reason: "the fault is gone" }, BY);
    await drained(2);
    expect(await counts(2)).toMatchObject({ operation_queue: OPERATIONS, outstanding_calls: 0, payload_chunks: 0 });
  });
});
