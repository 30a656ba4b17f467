/** What the queue costs: enqueue, claim and drain, each beside a peer or beside itself under load. `node test/bench/queue.ts`. */
import { type Figure, figure, interleaved, printFigures } from "./figure.ts";
import { type BenchSystem, startBenchSystem } from "./system.ts";

const ROUNDS = 15;
/** Of a measurement that takes no longer than the machine's hiccups. */
const SHORT_ROUNDS = 41;
const DRAIN_ROUNDS = 5;
const STUCK_ROUNDS = 3;
const PRELOAD = 10_000;
const STUCK_MS = 3_600_000;
/** What one shard has in flight after the climb. */
const CONCURRENCY = 6;

/** A service for each figure and side, so that no one's rows are in another's way. */
const SERVICES = ["ENQUEUE", "DRAIN", "FREE", "STUCK", "FEW", "MANY"] as const;
type Service = (typeof SERVICES)[number];

export async function benchEnqueue(): Promise<Figure[]> {
  return withSystem(async (system) => {
    const count = 100;
    await system.call("prepare", { service: "ENQUEUE" });
    const { ours, peer } = await interleaved(ROUNDS, {
      ours: async () => (await system.call<number>("enqueue", { service: "ENQUEUE", count })) / count,
      peer: async () => (await system.call<number>("insert", { count })) / count,
    });
    return [
      figure("durable enqueue of 1 KiB, beside a bare call that inserts the same row", ours, peer, "ms", "<= 1.5"),
    ];
  });
}

export async function benchDrain(): Promise<Figure[]> {
  const count = 2_000;
  return withSystem(async (system) => {
    const { ours, peer } = await interleaved(DRAIN_ROUNDS, {
      ours: () => drain(system, "DRAIN", count, 0),
      peer: async () => {
        const ms = await system.call<number>("puts", { prefix: freshPrefix(), count, concurrency: CONCURRENCY });
        return count / (ms / 1_000);
      },
    });
    // Of a rate, more is better.
    return [
      figure(
        "drain of 2,000 operations of 1 KiB, beside a bare loop of puts",
        1_000 / ours,
        1_000 / peer,
        "ms",
        "<= 1.3",
      ),
    ];
  });
}

export async function benchStuck(): Promise<Figure[]> {
  const [ready, stuck] = [5_000, 50_000];
  return withSystem(async (system) => {
    await fill(system, "STUCK", stuck, STUCK_MS);
    const { ours, peer } = await interleaved(STUCK_ROUNDS, {
      ours: () => drain(system, "STUCK", ready, stuck),
      peer: () => drain(system, "FREE", ready, 0),
    });
    return [
      figure(
        "drain of 5,000 ready operations behind 50,000 stuck ones, beside the same without",
        1_000 / ours,
        1_000 / peer,
        "ms",
        "<= 1.1",
      ),
    ];
  });
}

export async function benchPending(): Promise<Figure[]> {
  const [few, many] = [1_000, 100_000];
  return withSystem(async (system) => {
    await fill(system, "FEW", few, 0);
    await fill(system, "MANY", many, 0);
    const measure = async (route: "enqueue" | "claim", rounds: number, count: number) => {
      const ms = (service: Service) => async () => (await system.call<number>(route, { service, count })) / count;
      return await interleaved(rounds, { ours: ms("MANY"), peer: ms("FEW") });
    };
    const claim = await measure("claim", SHORT_ROUNDS, 50);
    const enqueue = await measure("enqueue", ROUNDS, 30);
    return [
      figure("enqueue at 100,000 pending, beside at 1,000", enqueue.ours, enqueue.peer, "ms", "<= 1.3"),
      figure("claim at 100,000 pending, beside at 1,000", claim.ours, claim.peer, "ms", "<= 1.3"),
    ];
  });
}

async function withSystem(run: (system: BenchSystem) => Promise<Figure[]>): Promise<Figure[]> {
  const system = await startBenchSystem(SERVICES);
  try {
    await system.call("unbound");
    return await run(system);
  } finally {
    await system.stop();
  }
}

/** Operations a second, over a drain of `count` operations that leaves `left` behind. */
async function drain(system: BenchSystem, service: Service, count: number, left: number): Promise<number> {
  const prefix = await preload(system, service, count, 0);
  const { operations, ms } = await system.call<{ operations: number; ms: number }>("drain", { service, prefix, left });
  if (operations !== count) throw new Error(`${operations} operations of ${count} were drained`);
  return count / (ms / 1_000);
}

async function fill(system: BenchSystem, service: Service, count: number, stuckMs: number): Promise<void> {
  for (let loaded = 0; loaded < count; loaded += PRELOAD) {
    await preload(system, service, Math.min(PRELOAD, count - loaded), stuckMs);
  }
}

async function preload(system: BenchSystem, service: Service, count: number, stuckMs: number): Promise<string> {
  const prefix = freshPrefix();
  await system.call("preload", { service, count, prefix, stuckMs });
  return prefix;
}

function freshPrefix(): string {
  return `${crypto.randomUUID()}/`;
}

if (import.meta.main) {
  for (const bench of [benchEnqueue, benchDrain, benchStuck, benchPending]) printFigures(await bench());
}
