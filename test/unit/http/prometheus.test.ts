import { expect, test } from "vitest";
import { prometheusText } from "../../../src/http/prometheus";

test("a gauge and a counter have their help, their type and a line a sample", () => {
  const text = prometheusText([
    { name: "a", help: "What a is.", type: "gauge", samples: [{ labels: {}, value: 1.5 }] },
    {
      name: "b_total",
      help: "What b is.",
      type: "counter",
      samples: [
        { labels: { x: "1", y: "2" }, value: 3 },
        { labels: { x: "2", y: "2" }, value: 0 },
      ],
    },
  ]);
  expect(text).toBe(
    [
      "# HELP a What a is.",
      "# TYPE a gauge",
      "a 1.5",
      "# HELP b_total What b is.",
      "# TYPE b_total counter",
      'b_total{x="1",y="2"} 3',
      'b_total{x="2",y="2"} 0',
      "",
    ].join("\n"),
  );
});

test("a histogram's buckets add up, and end with all calls", () => {
  const text = prometheusText([
    {
      name: "h_seconds",
      help: "H.",
      type: "histogram",
      bounds: [0.1, 1],
      samples: [{ labels: { s: "x" }, counts: [2, 3, 1] }],
    },
  ]);
  expect(text.split("\n").slice(2, -1)).toEqual([
    'h_seconds_bucket{s="x",le="0.1"} 2',
    'h_seconds_bucket{s="x",le="1"} 5',
    'h_seconds_bucket{s="x",le="+Inf"} 6',
    'h_seconds_count{s="x"} 6',
  ]);
});

test("label values and help are escaped", () => {
  const text = prometheusText([
    { name: "a", help: "one\\two\nthree", type: "gauge", samples: [{ labels: { s: 'q"b\\c\nd' }, value: 1 }] },
  ]);
  expect(text).toBe('# HELP a one\\\\two\\nthree\n# TYPE a gauge\na{s="q\\"b\\\\c\\nd"} 1\n');
});

test("a family without samples is left out: no data is no data", () => {
  expect(prometheusText([{ name: "a", help: "A.", type: "gauge", samples: [] }])).toBe("");
});
