/**
 * Random programs against a reference model: no acknowledged write is lost, buried or brought back, each is read back
 * where it must be, and after the drain R2 holds what the model says, and the queue holds nothing.
 *
 * VITE_MODEL_RUNS and VITE_MODEL_SEED ask for more programs, or for those of a failure.
 */
import fc from "fast-check";
import { beforeAll, test, vi } from "vitest";
import { createIsolates, type Isolate } from "../model/isolates";
import { ISOLATES, type Program, programs } from "../model/program";
import { Run } from "../model/run";
import { configureQueues, TestService } from "../model/service";

vi.hoisted(async () => {
  // workerd has no such method, and Vitest calls it after each mocked module.
  const hooks: string = "node:async_hooks";
  const { AsyncLocalStorage } = await import(hooks);
  AsyncLocalStorage.prototype.disable = () => undefined;
});
vi.mock("../../../src/shared/fence", () => ({ FENCE_MARGIN_MS: 1_200 }));

/** Set by `VITE_…`, because a Worker sees no other variables of the process. */
const { env: vite } = import.meta as unknown as { readonly env: Readonly<Record<string, string | undefined>> };
const RUNS = Number(vite.VITE_MODEL_RUNS ?? 60);
const SEED = Number(vite.VITE_MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31));
const END = vite.VITE_MODEL_END === "1";
/** A program mostly waits: several run beside each other, each on a service of its own. */
const LANES = 6;

let open: ((service: string) => Isolate)[] = [];
let services = 0;

beforeAll(async () => {
  open = await createIsolates(ISOLATES);
  await configureQueues();
});

async function holds(program: Program): Promise<void> {
  services += 1;
  const { leaseCapMs, maxRetries } = program;
  const service = await TestService.open(`MODEL_${services}`, open, {
    lease_cap_ms: leaseCapMs,
    max_retries: maxRetries,
  });
  try {
    await new Run(service, program).toTheEnd();
  } finally {
    await service.close();
  }
}

test("what was acknowledged is read back, and is what R2 holds after the drain", { timeout: 600_000 }, async () => {
  const lanes = Array.from({ length: LANES }, (_, lane) =>
    fc.assert(fc.asyncProperty(programs, holds), {
      seed: SEED + lane,
      numRuns: Math.ceil(RUNS / LANES),
      interruptAfterTimeLimit: 300_000,
      endOnFailure: END,
      verbose: fc.VerbosityLevel.None,
    }),
  );
  const ended = await Promise.allSettled(lanes);
  console.log(`model seed ${SEED}: ${services} programs`);
  for (const lane of ended) if (lane.status === "rejected") throw lane.reason;
});
