/** `npm run twin -- --seeds N [--seed FIRST] [--path PATH]`: as many random programs as one likes, from one seed on. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

/** A runtime keeps what it has seen: after so many programs a new one is begun. */
const BATCH = 200;
/** What workerd says of the objects that are made to die. */
const NOISE =
  /^(uncaught exception|exception = |stack: |NOSENTRY|console warning|Sourcemap for|R2 error response|\W*std(out|err)\W|\W*{"level":"warn"|$)/;

const { values } = parseArgs({
  options: { seeds: { type: "string" }, seed: { type: "string" }, path: { type: "string" } },
});
const seeds = wholeNumber("seeds", values.seeds ?? "200");
const first = wholeNumber("seed", values.seed ?? String(Math.floor(Math.random() * 2 ** 30)));

for (let done = 0; done < seeds; done += BATCH) {
  const code = await runBatch(first + done, Math.min(BATCH, seeds - done));
  if (code !== 0) process.exit(code);
  const end = Math.min(seeds, done + BATCH);
  console.log(`twin: no difference in ${end} programs, seeds ${first} to ${first + end - 1}`);
}

function wholeNumber(name: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 0) return number;
  console.error(`--${name} must be a whole number, not "${text}".`);
  process.exit(2);
}

async function runBatch(seed: number, count: number): Promise<number> {
  const child = spawn("vitest", ["run", "--project", "twin"], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      VITE_TWIN_SEED: String(seed),
      VITE_TWIN_SEEDS: String(count),
      ...(values.path !== undefined && { VITE_TWIN_PATH: values.path }),
    },
  });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      if (!NOISE.test(line)) console.log(line);
    });
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}
