/**
 * What the circuit costs, beside cockatiel, opossum and nothing at all, inside workerd. `node test/bench/circuit.ts`.
 *
 * A closed circuit is measured twice. Guarding a call needs the time, which FailoverBucket has anyway, from before the
 * call for its fence and from after it for the latency: so it is given, and cockatiel reads no clock either. Then all in
 * all, with both clock reads (0.1 us each in workerd) and the counters of the report.
 *
 * workerd's clock has a resolution of 1 ms and, locally, runs on during CPU work, so every measurement is of so many
 * calls that they take some 50 ms or more; `checkClock` compares it with the clock outside.
 */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { type Figure, figure, interleaved, printFigures } from "./figure.ts";

const WORKER = fileURLToPath(new URL("./workers/circuit-worker.ts", import.meta.url));
const ROUNDS = 15;

interface Run {
  readonly calls: number;
  readonly ms: number;
}

export async function benchCircuit(): Promise<Figure[]> {
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: await bundle(),
      compatibilityDate: "2026-10-01",
      compatibilityFlags: ["nodejs_compat"],
    }),
  );
  try {
    const run = async (path: string): Promise<Run> => {
      const response = await miniflare.dispatchFetch(`http://bench/${path}`);
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return (await response.json()) as Run;
    };
    const microseconds = (path: string) => async () => {
      const { calls, ms } = await run(path);
      return (ms * 1_000) / calls;
    };
    await checkClock(run);
    return [
      ...(await benchClosed(microseconds)),
      ...(await benchOpen(microseconds)),
      ...(await benchFailing(microseconds)),
    ];
  } finally {
    await miniflare.dispose();
  }
}

type Measure = (path: string) => () => Promise<number>;

async function benchClosed(microseconds: Measure): Promise<Figure[]> {
  const { ours, cockatiel, opossum, bare, oursMeasuring, cockatielMeasuring } = await interleaved(ROUNDS, {
    bare: microseconds("closed/bare?calls=1600000"),
    ours: microseconds("closed/ours?calls=500000"),
    cockatiel: microseconds("closed/cockatiel?calls=400000"),
    opossum: microseconds("closed/opossum?calls=100000"),
    oursMeasuring: microseconds("closed/ours_measuring?calls=250000"),
    cockatielMeasuring: microseconds("closed/cockatiel_measuring?calls=250000"),
  });
  return [
    figure("guarding one call, closed circuit, the time given; beside cockatiel", ours, cockatiel, "us", "<= 1"),
    figure("guarding one call, closed circuit, the time given; beside opossum", ours, opossum, "us"),
    figure("guarding one call, closed circuit, the time given; beside a bare await", ours, bare, "us"),
    figure(
      "the same with two clock reads and its latency counted; beside plain cockatiel",
      oursMeasuring,
      cockatiel,
      "us",
    ),
    figure("the same; beside cockatiel with a listener that counts it", oursMeasuring, cockatielMeasuring, "us"),
  ];
}

async function benchOpen(microseconds: Measure): Promise<Figure[]> {
  const { ours, cockatiel, opossum } = await interleaved(ROUNDS, {
    ours: microseconds("open/ours?calls=1500000"),
    cockatiel: microseconds("open/cockatiel?calls=25000"),
    opossum: microseconds("open/opossum?calls=25000"),
  });
  return [
    figure("rejecting one call, open circuit, beside cockatiel", ours, cockatiel, "us", "<= 0.2"),
    figure("rejecting one call, open circuit, beside opossum", ours, opossum, "us", "<= 0.2"),
  ];
}

async function benchFailing(microseconds: Measure): Promise<Figure[]> {
  const many = microseconds("failing/ours?calls=50000&results=50000");
  const beside = await interleaved(ROUNDS, {
    ours: many,
    opossum: microseconds("failing/opossum?calls=50&results=50000"),
  });
  const flat = await interleaved(ROUNDS, { many, few: microseconds("failing/ours?calls=50000&results=100") });
  return [
    figure(
      "one failing call with 50,000 results in the window, beside opossum with a fallback",
      beside.ours,
      beside.opossum,
      "us",
      "<= 0.02",
    ),
    figure(
      "one failing call with 50,000 results in the window, beside itself with 100",
      flat.many,
      flat.few,
      "us",
      "<= 1.2",
    ),
  ];
}

/** The worker's own figures are good for nothing if its clock stands still or runs at another speed than ours. */
async function checkClock(run: (path: string) => Promise<Run>): Promise<void> {
  await run("closed/bare?calls=1000");
  const startedAt = performance.now();
  const { ms } = await run("closed/bare?calls=16000000");
  const outsideMs = performance.now() - startedAt;
  if (ms < 0.8 * outsideMs || ms > 1.05 * outsideMs) {
    throw new Error(`workerd measured ${ms} ms where ${Math.round(outsideMs)} ms went by`);
  }
}

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [WORKER],
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["workerd", "import"],
    external: ["node:*"],
    alias: { events: "node:events" },
    // opossum is CommonJS and asks for `events` by require, which a Worker's module does not have.
    banner: { js: 'import nodeEvents from "node:events"; const require = () => nodeEvents;' },
  });
  const [bundled] = outputFiles;
  if (bundled === undefined) throw new Error("esbuild wrote nothing");
  return bundled.text;
}

if (import.meta.main) printFigures(await benchCircuit());
