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
const MAY_TAKE_MIB = 32;

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
  const peaks: number[] = [];
  for (let run = 0; run < MEMORY_RUNS; run += 1) {
    await withSystem(async (system) => {
      await system.call("refuse", { service: NO_WRITES, circuits: "write" });
      const put = (size: number) => system.call("streamed-put", { side: "ours", service: NO_WRITES, size });
      for (let n = 0; n < WARM_UPS; n += 1) await put(WARM_UP_BYTES);
      peaks.push(await peakAboveIdle(() => put(PUT_BYTES)));
    });
  }
  return [memoryFigure("streamed put of 100 MiB while open", peaks)];
}

function memoryFigure(what: string, peaks: readonly number[]): Figure {
  const name = `peak memory above idle, ${what}, beside ${MAY_TAKE_MIB} MiB`;
  return figure(name, medianOf(peaks), MAY_TAKE_MIB, "MiB", "<= 1");
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
