/** Runs one case through one contender inside workerd and answers `{ calls, ms }`. See `../circuit.ts`. */
import { ConsecutiveBreaker, circuitBreaker, handleAll } from "cockatiel";
import Opossum from "opossum";
import { acquire, type Circuit, createCircuit, record, recordCounts, trip } from "../../../src/circuit/circuit";
import { type Counters, count, createCounters } from "../../../src/circuit/reporter";
import { type CircuitSettings, circuitSettings } from "../../../src/circuit/settings";
import { DEFAULT_CONFIG } from "../../../src/shared/config";

type Call = () => Promise<string>;
type Guard = (call: Call) => Promise<unknown>;

/** Nobody half-opens while the calls run. */
const OPEN_MS = 3_600_000;
/** So few per circuit that neither side opens: 50 failures beside at least 100 successes. */
const FAILURES_PER_CIRCUIT = 50;

const succeed: Call = async () => "stored";
const outage = new Error("put: We encountered an internal error. Please try again. (10001)");
const fail: Call = async () => {
  throw outage;
};
const CALLS_PER_TICK = 100;

/** The time as the guard is given it. Read for all contenders alike, once in `CALLS_PER_TICK` calls. */
let now = 0;

const fallback = (): string => "queued";

/** Leave, the call, its result on record. Like FailoverBucket it is given the time, which that has read for the fence. */
function guardOf(circuit: Circuit): Guard {
  return async (call) => {
    const permit = acquire(circuit, now, Math.random);
    if (!permit.admitted) return permit;
    try {
      const result = await call();
      record(circuit, permit, "success", now, Math.random);
      return result;
    } catch {
      record(circuit, permit, "failure", now, Math.random);
      return fallback();
    }
  };
}

/** The same with the clock read before and after, and the outcome and its latency counted: all that a call pays. */
function measuringGuardOf(circuit: Circuit, counters: Counters): Guard {
  return async (call) => {
    const startedAt = Date.now();
    const permit = acquire(circuit, startedAt, Math.random);
    if (!permit.admitted) return permit;
    try {
      const result = await call();
      const endedAt = Date.now();
      record(circuit, permit, "success", endedAt, Math.random);
      count(counters, "write", "success", endedAt - startedAt);
      return result;
    } catch {
      const endedAt = Date.now();
      record(circuit, permit, "failure", endedAt, Math.random);
      count(counters, "write", "failure", endedAt - startedAt);
      return fallback();
    }
  };
}

function circuitWith(changes: Partial<CircuitSettings>): Circuit {
  return createCircuit({ ...circuitSettings(DEFAULT_CONFIG.service, "isolate"), ...changes });
}

function opossum(): Opossum<[Call], string> {
  return new Opossum((call: Call) => call(), { timeout: false, resetTimeout: OPEN_MS });
}

const closed: Record<string, () => Guard> = {
  bare: () => (call) => call(),
  ours: () => guardOf(circuitWith({})),
  ours_measuring: () => measuringGuardOf(circuitWith({}), createCounters()),
  cockatiel_measuring: () => {
    const policy = circuitBreaker(handleAll, { halfOpenAfter: OPEN_MS, breaker: new ConsecutiveBreaker(5) });
    const counters = createCounters();
    policy.onSuccess(({ duration }) => count(counters, "write", "success", duration));
    return (call) => policy.execute(call);
  },
  cockatiel: () => {
    const policy = circuitBreaker(handleAll, { halfOpenAfter: OPEN_MS, breaker: new ConsecutiveBreaker(5) });
    return (call) => policy.execute(call);
  },
  opossum: () => {
    const breaker = opossum();
    return (call) => breaker.fire(call);
  },
};

const open: Record<string, () => Promise<Guard>> = {
  ours: async () => {
    const circuit = circuitWith({ baseOpenMs: OPEN_MS, maxOpenMs: OPEN_MS });
    trip(circuit, Date.now(), Math.random);
    return guardOf(circuit);
  },
  cockatiel: async () => {
    const policy = circuitBreaker(handleAll, { halfOpenAfter: OPEN_MS, breaker: new ConsecutiveBreaker(5) });
    for (let failure = 0; failure < 5; failure += 1) await policy.execute(fail).catch(fallback);
    return (call) => policy.execute(call);
  },
  opossum: async () => {
    const breaker = opossum();
    breaker.open();
    return (call) => breaker.fire(call);
  },
};

/** Time of `calls` successful calls, all of which must be admitted. */
async function timeClosed(guard: Guard, calls: number): Promise<number> {
  const startedAt = performance.now();
  for (let call = 0; call < calls; call += 1) {
    if (call % CALLS_PER_TICK === 0) now = Date.now();
    if ((await guard(succeed)) !== "stored") throw new Error("a call was not admitted");
  }
  return performance.now() - startedAt;
}

/** Time of `calls` rejections: a thrown error with the peers, a value with ours. */
async function timeOpen(guard: Guard, calls: number): Promise<number> {
  let admitted = 0;
  const startedAt = performance.now();
  for (let call = 0; call < calls; call += 1) {
    if (call % CALLS_PER_TICK === 0) now = Date.now();
    try {
      if ((await guard(succeed)) === "stored") admitted += 1;
    } catch {
      // Rejected.
    }
  }
  const ms = performance.now() - startedAt;
  if (admitted > 0) throw new Error("a call was admitted");
  return ms;
}

/** Time of failing calls, each answered by a fallback, through guards whose windows hold `results` successes. */
async function timeFailing(fill: () => Promise<Guard>, calls: number): Promise<number> {
  const guards: Guard[] = [];
  for (let failures = 0; failures < calls; failures += FAILURES_PER_CIRCUIT) guards.push(await fill());
  const startedAt = performance.now();
  for (const guard of guards) {
    now = Date.now();
    for (let call = 0; call < FAILURES_PER_CIRCUIT; call += 1) {
      if ((await guard(fail)) !== "queued") throw new Error("a call did not fail");
    }
  }
  return performance.now() - startedAt;
}

function filled(contender: string, results: number): () => Promise<Guard> {
  if (contender === "opossum") {
    return async () => {
      const breaker = opossum();
      breaker.fallback(fallback);
      for (let result = 0; result < results; result += 1) await breaker.fire(succeed);
      return async (call) => {
        if (!breaker.closed) throw new Error("the breaker opened");
        return breaker.fire(call);
      };
    };
  }
  return async () => {
    const circuit = circuitWith({ threshold: FAILURES_PER_CIRCUIT + 1 });
    now = Date.now();
    for (let result = 0; result < results; result += 100) {
      recordCounts(circuit, { success: 100, failure: 0, consecutiveFailures: 0 }, now, Math.random);
    }
    return guardOf(circuit);
  };
}

async function time(of: string, contender: string, calls: number, results: number): Promise<number> {
  if (of === "failing") return timeFailing(filled(contender, results), calls);
  const made = of === "open" ? await open[contender]?.() : closed[contender]?.();
  if (made === undefined) throw new Error(`nothing is called ${of}/${contender}`);
  return of === "open" ? timeOpen(made, calls) : timeClosed(made, calls);
}

export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const [, of = "", contender = ""] = pathname.split("/");
    const calls = Number(searchParams.get("calls"));
    const ms = await time(of, contender, calls, Number(searchParams.get("results")));
    return Response.json({ calls, ms });
  },
};
