/**
 * `npm run bench`: every figure beside its peer, all under workerd, in this one run.
 *
 * Prints a JSON line a figure as it is measured, then the table. `--only <text>`: the benchmarks whose name contains
 * it. A miss is shown and is no failure: timings depend on the machine.
 */
import { parseArgs } from "node:util";
import { benchBucket } from "./bucket.ts";
import { benchCircuit } from "./circuit.ts";
import { type Figure, isMet } from "./figure.ts";
import { benchList } from "./list.ts";
import { benchPush } from "./push.ts";
import { benchDrain, benchEnqueue, benchPending, benchStuck } from "./queue.ts";
import { benchMemory, benchQueuedGet, benchStreamedPut } from "./stream.ts";

const BENCHES: Readonly<Record<string, () => Promise<Figure[]>>> = {
  circuit: benchCircuit,
  bucket: benchBucket,
  list: benchList,
  "queued get": benchQueuedGet,
  "streamed put": benchStreamedPut,
  memory: benchMemory,
  enqueue: benchEnqueue,
  drain: benchDrain,
  stuck: benchStuck,
  pending: benchPending,
  push: benchPush,
};

// Miniflare's own handler ends workerd, and leaves this process waiting for its answers.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));

const { values } = parseArgs({ options: { only: { type: "string", default: "" } } });
const chosen = Object.entries(BENCHES).filter(([name]) => name.includes(values.only));
if (chosen.length === 0) {
  console.error(`No benchmark is called "${values.only}". There are: ${Object.keys(BENCHES).join(", ")}.`);
  process.exit(2);
}

const figures: Figure[] = [];
for (const [named, bench] of chosen) {
  // One that cannot be measured here takes no other's figures along.
  const measured = await bench().catch((error: unknown) => {
    console.error(`${named} was not measured: ${String(error)}`);
    process.exitCode = 1;
    return [];
  });
  for (const figure of measured) {
    const { name, ours, peer, unit, ratio } = figure;
    console.log(JSON.stringify({ name, ours, peer, unit, ratio }));
    figures.push(figure);
  }
}
console.log(`\n${table(figures)}\n`);
console.log(summary(figures));

/** Ratios only: times are of this machine. */
function table(rows: readonly Figure[]): string {
  const cells = [
    ["figure", "ratio", "must", ""],
    ...rows.map((row) => [
      row.name,
      String(row.ratio),
      row.must ?? "",
      { true: "pass", false: "MISS", null: "" }[`${isMet(row)}`],
    ]),
  ];
  const width = (column: number) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0));
  const line = (row: readonly string[]) => `| ${row.map((cell, column) => cell.padEnd(width(column))).join(" | ")} |`;
  const [head = [], ...body] = cells;
  return [line(head), `|${head.map((_, column) => "-".repeat(width(column) + 2)).join("|")}|`, ...body.map(line)].join(
    "\n",
  );
}

function summary(rows: readonly Figure[]): string {
  const missed = rows.filter((row) => isMet(row) === false);
  const bound = rows.filter((row) => isMet(row) !== null).length;
  return `${bound - missed.length} of ${bound} figures are as they must be${missed.map((row) => `\nMISS: ${row.name}: ${row.ratio}, must be ${row.must}`).join("")}`;
}
