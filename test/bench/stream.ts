/**
 * Large objects in an outage: read again, written as streams, and what memory that takes. `node test/bench/stream.ts`.
 *
 * Memory is that of the whole workerd, in which the caller, the object and the storage are one process: above the idle
 * one, after small writes have warmed it up, in a new process each time.
 */
import { type Figure, figure, interleaved, medianOf, printFigures } from "./figure.ts";
import { MEMORY_PROBLEM, peakAboveIdle } from "./memory.ts";
import { type BenchSystem, startBenchSystem } from "./system.ts";

const MIB = 1_048_576;
const GET_ROUNDS = 21;
const GETS = 8;
const PUT_ROUNDS = 7;
const PUT_BYTES = 100 * MIB;
const WARM_UPS = 8;
const WARM_UP_BYTES = 2 * MIB;
const MEMORY_RUNS = 3;
const PART_BYTES = 64 * MIB;

/** R2 takes no writes of the one, and nothing at all of the other. */
const [NO_WRITES, NOTHING] = ["NO_WRITES", "NOTHING"];

export async function benchQueuedGet(): Promise<Figure[]> {
  return withSystem(async (system) => {
    const size = MIB;
    await system.call("fill", { size });
    await system.call("queue", { service: NO_WRITES, circuits: "write", size });
    await system.call("queue", { service: NOTHING, circuits: "read,write", size });
    const ms = (side: "ours" | "peer", service: string) => async () =>
      (await system.call<number>("calls", { side, service, method: "get", size, count: GETS })) / GETS;
    const { readable, dark, raw } = await interleaved(GET_ROUNDS, {
      readable: ms("ours", NO_WRITES),
      dark: ms("ours", NOTHING),
      raw: ms("peer", NO_WRITES),
    });
    return [
      figure("get of a queued 1 MiB object while R2 takes no writes, beside a raw get", readable, raw, "ms", "<= 2"),
      figure("get of a queued 1 MiB object while R2 takes nothing, beside a raw get", dark, raw, "ms", "<= 2"),
    ];
  });
}

export async function benchStreamedPut(): Promise<Figure[]> {
  return withSystem(async (system) => {
    await system.call("refuse", { service: NO_WRITES, circuits: "write" });
    const ms = (side: "ours" | "peer" | "hashing peer") => () =>
      system.call<number>("streamed-put", { side, service: NO_WRITES, size: PUT_BYTES });
    const { ours, peer, hashing } = await interleaved(PUT_ROUNDS, {
      ours: ms("ours"),
      peer: ms("peer"),
      hashing: ms("hashing peer"),
    });
    return [
      figure("streamed put of 100 MiB while open, beside a bare RPC stream into rows", ours, peer, "ms", "<= 1.25"),
      figure("the same, beside a bare RPC stream into rows that is hashed for its etag", ours, hashing, "ms"),
    ];
  });
}

export async function benchMemory(): Promise<Figure[]> {
  if (MEMORY_PROBLEM !== null) {
    console.log(`Memory is NOT measured: ${MEMORY_PROBLEM}.`);
    return [];
  }
  const put = await peaksOf((system) =>
    system.call("streamed-put", { side: "ours", service: NO_WRITES, size: PUT_BYTES }),
  );
  const upload = (size: number) => (system: BenchSystem) =>
    system.call("queue-upload", { service: NO_WRITES, size, partSize: PART_BYTES });
  const short = await peaksOf(upload(2 * PART_BYTES));
  const long = await peaksOf(upload(16 * PART_BYTES));
  return [
    figure("peak memory of a streamed put of 100 MiB while open, above idle, beside 32 MiB", put, 32, "MiB", "<= 1"),
    figure(
      "peak memory of a multipart upload of 1 GiB in an outage, above idle, beside one of 128 MiB",
      long,
      short,
      "MiB",
      "<= 1.5",
    ),
    figure("the same, beside 32 MiB", long, 32, "MiB"),
  ];
}

/** The median of several new processes, warmed up by small writes: how far above that `run` lifts their memory, MiB. */
async function peaksOf(run: (system: BenchSystem) => Promise<unknown>): Promise<number> {
  const peaks: number[] = [];
  for (let n = 0; n < MEMORY_RUNS; n += 1) {
    await withSystem(async (system) => {
      await system.call("unbound");
      await system.call("refuse", { service: NO_WRITES, circuits: "write" });
      for (let warm = 0; warm < WARM_UPS; warm += 1) {
        await system.call("streamed-put", { side: "ours", service: NO_WRITES, size: WARM_UP_BYTES });
      }
      peaks.push(await peakAboveIdle(() => run(system)));
    });
  }
  return medianOf(peaks);
}

async function withSystem<T>(run: (system: BenchSystem) => Promise<T>): Promise<T> {
  const system = await startBenchSystem([NO_WRITES, NOTHING]);
  try {
    return await run(system);
  } finally {
    await system.stop();
  }
}

if (import.meta.main) {
  for (const bench of [benchQueuedGet, benchStreamedPut, benchMemory]) printFigures(await bench());
}
