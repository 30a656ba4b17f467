/** What FailoverBucket costs while R2 is well, beside the raw binding. `node test/bench/bucket.ts`. */
import { type Figure, figure, interleaved, printFigures } from "./figure.ts";
import { type BenchSystem, startBenchSystem } from "./system.ts";

const ROUNDS = 31;
const REQUESTS = 1_000;

const SIZES = [
  { size: 1_024, named: "1 KiB", count: 50 },
  { size: 1_048_576, named: "1 MiB", count: 8 },
] as const;

export async function benchBucket(): Promise<Figure[]> {
  const system = await startBenchSystem();
  try {
    const figures = [await benchRequests(system)];
    for (const { size, named, count } of SIZES) {
      await system.call("fill", { size });
      for (const method of ["put", "get"]) {
        const ms = (side: "ours" | "peer") => async () =>
          (await system.call<number>("calls", { side, service: "R2_STORAGE", method, size, count })) / count;
        const { ours, peer } = await interleaved(ROUNDS, { ours: ms("ours"), peer: ms("peer") });
        figures.push(figure(`${method} of ${named}, healthy, beside the raw binding`, ours, peer, "ms", "<= 1.05"));
      }
    }
    return figures;
  } finally {
    await system.stop();
  }
}

/** Counted from a cold isolate on: its first snapshot is among them. */
async function benchRequests(system: BenchSystem): Promise<Figure> {
  const requests = await system.call<number>("requests", { count: REQUESTS / 2 });
  return figure(
    "requests to objects per 1,000 healthy gets and puts, beside a breaker that asks its object each time",
    requests,
    REQUESTS,
    "requests",
    "<= 0.002",
  );
}

if (import.meta.main) printFigures(await benchBucket());
