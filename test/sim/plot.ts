/** The simulation's outcomes as one SVG. Pure. */
import type { Outcome } from "./model";

interface Line {
  readonly name: string;
  readonly color: string;
  readonly isDashed?: boolean;
  readonly value: (outcome: Outcome) => number;
}

interface Panel {
  readonly title: string;
  readonly ticks: readonly number[];
  /** Where a value lies, 0 (bottom) to 1 (top). */
  readonly place: (value: number) => number;
  readonly lines: readonly Line[];
}

const WIDTH = 360;
const HEIGHT = 250;
const PLOT = { left: 52, right: 16, top: 34, bottom: 86 };

const logarithmic = (least: number, most: number) => (value: number) =>
  Math.log(Math.max(least, value) / least) / Math.log(most / least);

const PANELS: readonly Panel[] = [
  {
    title: "requests per second to a service's object",
    ticks: [1, 10, 100, 1_000],
    place: logarithmic(0.5, 5_000),
    lines: [
      {
        name: "budget, then one per isolate and lease cap",
        color: "#888",
        isDashed: true,
        value: (o) => o.designedPerS,
      },
      { name: "in calm", color: "#2a7de1", value: (o) => o.calmPerS },
      { name: "in the first 40 s of an outage", color: "#d6452b", value: (o) => o.outagePerS },
    ],
  },
  {
    title: "ms until isolates stop calling a dead R2",
    ticks: [0, 500, 1_000, 1_500, 2_000],
    place: (value) => Math.min(1, value / 2_200),
    lines: [
      { name: "bound", color: "#888", isDashed: true, value: () => 2_000 },
      { name: "99 % of those with at least 5 calls a second", color: "#d6452b", value: (o) => o.busyStopMs },
    ],
  },
];

export function plot(outcomes: readonly Outcome[]): string {
  const sizes = outcomes.map(({ isolates }) => isolates);
  const across = logarithmic(Math.min(...sizes), Math.max(...sizes));
  const panels = PANELS.map((panel, i) => drawPanel(panel, outcomes, across, i * WIDTH));
  const size = `width="${WIDTH * PANELS.length}" height="${HEIGHT}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="10" fill="#333">`,
    "<title>Requests to a service's object, and how soon isolates stop calling a dead R2, by number of isolates</title>",
    `<rect ${size} fill="#fff"/>`,
    ...panels,
    "</svg>\n",
  ].join("\n");
}

function drawPanel(panel: Panel, outcomes: readonly Outcome[], across: (n: number) => number, offset: number): string {
  const inner = { width: WIDTH - PLOT.left - PLOT.right, height: HEIGHT - PLOT.top - PLOT.bottom };
  const x = (isolates: number) => round(offset + PLOT.left + across(isolates) * inner.width);
  const y = (value: number) => round(PLOT.top + (1 - panel.place(value)) * inner.height);
  const grid = panel.ticks.map(
    (tick) =>
      `<path d="M${offset + PLOT.left} ${y(tick)}h${inner.width}" stroke="#eee"/>` +
      `<text x="${offset + PLOT.left - 6}" y="${y(tick) + 3}" text-anchor="end">${tick.toLocaleString("en")}</text>`,
  );
  const sizes = outcomes
    .filter(({ isolates }) => Number.isInteger(Math.log10(isolates)))
    .map(
      ({ isolates }) =>
        `<text x="${x(isolates)}" y="${PLOT.top + inner.height + 14}" text-anchor="middle">${isolates.toLocaleString("en")}</text>`,
    );
  const lines = panel.lines.map(({ color, isDashed, value }) => {
    const path = outcomes
      .map((outcome, i) => `${i === 0 ? "M" : "L"}${x(outcome.isolates)} ${y(value(outcome))}`)
      .join("");
    return `<path d="${path}" fill="none" stroke="${color}" stroke-width="2"${isDashed ? ' stroke-dasharray="5 4"' : ""}/>`;
  });
  const legend = panel.lines.map(({ name, color }, i) => {
    const top = PLOT.top + inner.height + 44 + 13 * i;
    return `<rect x="${offset + PLOT.left}" y="${top - 7}" width="12" height="4" fill="${color}"/><text x="${offset + PLOT.left + 18}" y="${top}">${name}</text>`;
  });
  return [
    `<text x="${offset + PLOT.left}" y="18" font-size="12">${panel.title}</text>`,
    ...grid,
    ...sizes,
    `<text x="${offset + PLOT.left + inner.width / 2}" y="${PLOT.top + inner.height + 28}" text-anchor="middle">isolates</text>`,
    ...lines,
    ...legend,
  ].join("\n");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
