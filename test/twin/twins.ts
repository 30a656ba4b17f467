/**
 * Random programs of R2 calls against a native bucket that never fails, and against ours, whose R2 fails, hangs,
 * truncates, loses replies and recovers while objects die: nobody can tell the difference, but for `differences.ts`.
 *
 * One seed, one program. Several run beside each other, each on a service of its own; in two files, for two cores.
 */
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { createIsolates, type Isolate } from "../worker/model/isolates";
import { configureQueues, TestService } from "../worker/model/service";
import { ISOLATES, type Program, programs } from "./program";
import { Run } from "./run";
import { withLateReplies } from "./slow-bucket";
import { Stalls } from "./stalls";
import { Tally } from "./tally";

/** Set by `VITE_…`, because a Worker sees no other variables of the process. */
const { env: vite } = import.meta as unknown as { readonly env: Readonly<Record<string, string | undefined>> };
const SEEDS = Number(vite.VITE_TWIN_SEEDS ?? 120);
/** `npm test` is to say the same every time; `npm run twin` takes fresh ones. */
const FIRST_SEED = Number(vite.VITE_TWIN_SEED ?? 1);
const PATH = vite.VITE_TWIN_PATH;
const SHRINK_MS = Number(vite.VITE_TWIN_SHRINK_MS ?? 120_000);
/** A program mostly waits. */
const LANES = 6;
/** What fails by bad luck with time is tried again, so that it shrinks nevertheless. */
const SHRINK_TRIES = 3;
/**
 * That a call lands no later than the margin of its fence is a premise (README, residual risks). Where timers were late by
 * so much, it need not have held: the program is run again.
 */
const STALL_MS = 250;
const STALLED_TRIES = 4;

interface Lane {
  readonly open: readonly ((service: string) => Isolate)[];
  readonly lateReplies: Map<string, number>;
  readonly tally: Tally;
}

/** Runs a half of the seeds: those with that remainder. Throws the first failure, as short as it could be made. */
export async function testPrograms(remainder: 0 | 1): Promise<void> {
  const seeds = Array.from({ length: PATH === undefined ? SEEDS : 1 }, (_, n) => FIRST_SEED + n).filter(
    (_, n) => n % 2 === remainder,
  );
  const lane = await prepare();
  const startedAt = Date.now();
  const left = seeds.values();
  const failures: { readonly seed: number; readonly told: string }[] = [];
  const work = async () => {
    for (const seed of left) {
      const run = await fc.check(
        fc.asyncProperty(fc.noBias(programs), (program) => holds(lane, program)),
        { seed, numRuns: 1, endOnFailure: true, ...(PATH !== undefined && { path: PATH }) },
      );
      if (run.failed) failures.push({ seed, told: String(run.errorInstance) });
      if (failures.length > 0) return;
    }
  };
  await Promise.all(Array.from({ length: LANES }, work));
  const [first] = failures;
  if (first !== undefined) console.log(`twin: seed ${first.seed}, before it is made shorter: ${first.told}`);
  const short = first === undefined || PATH !== undefined ? "" : await shrunk(lane, first.seed);
  if (first !== undefined) throw new Error(`seed ${first.seed}: ${first.told}\n${short}`);
  console.log(
    `twin: ${seeds.length} programs of seeds ${seeds[0]} to ${seeds.at(-1)} in ${Date.now() - startedAt} ms, ${services - seeds.length} run again, ${lane.tally}`,
  );
  const [excess] = lane.tally.excesses;
  if (excess !== undefined) throw new Error(excess);
}

async function prepare(): Promise<Lane> {
  const lateReplies = new Map<string, number>();
  const late = (name: string) => lateReplies.get(name.split("/")[0] ?? "") ?? 0;
  // No copy: services are added to the original as they come.
  const its: typeof env = Object.create(env, { R2_BUCKET: { value: withLateReplies(env.R2_BUCKET, late) } });
  const open = await createIsolates(ISOLATES, its);
  await configureQueues(500);
  return { open, lateReplies, tally: new Tally() };
}

async function holds(lane: Lane, program: Program): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const stalls = new Stalls();
    try {
      return await run(lane, program);
    } catch (error) {
      if (tries >= STALLED_TRIES || stalls.longestMs < STALL_MS) throw error;
    } finally {
      stalls.stop();
    }
  }
}

let services = 0;

async function run({ open, lateReplies, tally }: Lane, program: Program): Promise<void> {
  services += 1;
  const name = `TWIN_${services}`;
  const service = await TestService.open(name, open, {
    lease_cap_ms: program.leaseCapMs,
    max_retries: 100,
    circuit_breaker_timeout: 500,
    health_check_interval: 5_000,
  });
  const around = {
    ...{ service, tally, raw: env.R2_BUCKET, native: env.R2_TWIN },
    setLateReplies: (ms: number) => void lateReplies.set(name, ms),
  };
  try {
    await new Run(around, program).toTheEnd();
  } finally {
    await service.close();
  }
}

async function shrunk(lane: Lane, seed: number): Promise<string> {
  const again = fc.asyncProperty(fc.noBias(programs), async (program) => {
    for (let tries = 0; tries < SHRINK_TRIES; tries += 1) await holds(lane, program);
  });
  const details = await fc.check(again, { seed, numRuns: 1, interruptAfterTimeLimit: SHRINK_MS });
  if (!details.failed || details.counterexample === null) return "and not when it was tried again";
  const [program] = details.counterexample;
  return [
    `shrunk to npm run twin -- --seed ${seed} --path ${details.counterexamplePath}`,
    `a lease of ${program.leaseCapMs} ms, and`,
    ...program.steps.map((step) => JSON.stringify(step)),
    String(details.errorInstance),
  ].join("\n");
}
