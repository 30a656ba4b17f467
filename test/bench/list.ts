/** What a list of 1,000 objects costs beside the raw binding, with nothing pending and with 100. `node test/bench/list.ts`. */
import { type Figure, figure, interleaved, printFigures } from "./figure.ts";
import { startBenchSystem } from "./system.ts";

const ROUNDS = 15;
const COUNT = 6;
const PENDING = 100;

/** A service with nothing pending, and one with something. */
const [CALM, BUSY] = ["R2_STORAGE", "LISTED"];

export async function benchList(): Promise<Figure[]> {
  const system = await startBenchSystem([BUSY]);
  try {
    const prefix = "list";
    await system.call("fill-list", { prefix });
    await system.call("pend-list", { service: BUSY, prefix, count: PENDING });
    const ms = (side: "ours" | "peer", service: string) => async () =>
      (await system.call<number>("lists", { side, service, prefix, count: COUNT })) / COUNT;
    const measured = await interleaved(ROUNDS, {
      calm: ms("ours", CALM),
      raw: ms("peer", CALM),
      busy: ms("ours", BUSY),
    });
    const { calm, busy, raw } = measured;
    return [
      figure("list of 1,000 with nothing pending, beside the raw binding", calm, raw, "ms", "<= 1.05"),
      figure(`list of 1,000 with ${PENDING} pending, beside the raw binding`, busy, raw, "ms", "<= 1.5"),
    ];
  } finally {
    await system.stop();
  }
}

if (import.meta.main) printFigures(await benchList());
