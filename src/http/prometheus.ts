/** The text format of Prometheus (version 0.0.4). Pure. */

export const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** Calls per bucket, not cumulated: one more than there are bounds. */
export interface HistogramSample {
  readonly labels: Labels;
  readonly counts: readonly number[];
}

/** One family. The sum of a histogram is left out: where only buckets are counted it is not known. */
export type Family = { readonly name: string; readonly help: string } & (
  | { readonly type: "gauge" | "counter"; readonly samples: readonly Sample[] }
  | { readonly type: "histogram"; readonly bounds: readonly number[]; readonly samples: readonly HistogramSample[] }
);

/** Families without samples are left out. */
export function prometheusText(families: readonly Family[]): string {
  return families
    .filter(({ samples }) => samples.length > 0)
    .map((family) => {
      const { name, help, type } = family;
      const head = [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`];
      return `${[...head, ...linesOf(family)].join("\n")}\n`;
    })
    .join("");
}

function linesOf(family: Family): string[] {
  const { name } = family;
  if (family.type !== "histogram") return family.samples.map(({ labels, value }) => line(name, labels, value));
  return family.samples.flatMap(({ labels, counts }) => {
    let total = 0;
    const buckets = [...family.bounds, Number.POSITIVE_INFINITY].map((bound, index) => {
      total += counts[index] ?? 0;
      return line(`${name}_bucket`, { ...labels, le: number(bound) }, total);
    });
    return [...buckets, line(`${name}_count`, labels, total)];
  });
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${number(value)}`;
}

function number(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
