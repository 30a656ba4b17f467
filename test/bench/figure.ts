/** One figure of the benchmarks: ours beside a peer, measured in the same run. */
export interface Figure {
  readonly name: string;
  readonly ours: number;
  readonly peer: number;
  readonly unit: string;
  /** ours / peer. */
  readonly ratio: number;
  /** What the ratio must be, say `<= 0.2`. Without it the figure is for comparison only. */
  readonly must?: string;
}

export function figure(name: string, ours: number, peer: number, unit: string, must?: string): Figure {
  const measured = { name, ours: rounded(ours), peer: rounded(peer), unit, ratio: rounded(ours / peer) };
  return must === undefined ? measured : { ...measured, must };
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)];
  if (upper === undefined) throw new Error("no values, no median");
  return Number.isInteger(middle) ? (upper + (sorted[middle - 1] ?? upper)) / 2 : upper;
}

/**
 * Measures all contenders once a round, in turns that begin with another one each time, so that drift of the machine
 * hits them alike. Returns each one's median; one round more, the first, warms up and is not counted.
 */
export async function interleaved<Name extends string>(
  rounds: number,
  contenders: Readonly<Record<Name, () => Promise<number>>>,
): Promise<Record<Name, number>> {
  const names = Object.keys(contenders) as Name[];
  const measured = new Map(names.map((name) => [name, [] as number[]]));
  for (let round = 0; round <= rounds; round += 1) {
    for (let turn = 0; turn < names.length; turn += 1) {
      const name = names[(round + turn) % names.length];
      if (name === undefined) continue;
      const value = await contenders[name]();
      if (round > 0) measured.get(name)?.push(value);
    }
  }
  return Object.fromEntries(names.map((name) => [name, medianOf(measured.get(name) ?? [])])) as Record<Name, number>;
}

/** Whether a figure is as it must be; null when nothing is demanded of it. */
export function isMet({ ratio, must }: Figure): boolean | null {
  const limit = must === undefined ? null : /^<= (\d+(?:\.\d+)?)$/.exec(must);
  if (limit === null) return null;
  return ratio <= Number(limit[1]);
}

/** A table for people, then one JSON line a figure. */
export function printFigures(figures: readonly Figure[]): void {
  console.table(
    figures.map((each) => ({
      figure: each.name,
      ours: each.ours,
      peer: each.peer,
      unit: each.unit,
      ratio: each.ratio,
      must: each.must ?? "",
      met: { true: "yes", false: "NO", null: "" }[`${isMet(each)}`],
    })),
  );
  for (const each of figures) console.log(JSON.stringify(each));
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
