import { describe, expect, test } from "vitest";
import { badgeSvg, statusBadge, uptimeBadge } from "../../../src/http/badge";

describe("a status badge", () => {
  test.each([
    ["HEALTHY", "healthy"],
    ["OFFLINE", "offline"],
    [null, "unknown"],
  ] as const)("of %s says %s", (status, value) => {
    expect(statusBadge("R2_STORAGE", status)).toMatchObject({ label: "R2_STORAGE", value });
  });

  test("has another colour for each status", () => {
    const statuses = ["HEALTHY", "RECOVERING", "DEGRADED", "OFFLINE", null] as const;
    expect(new Set(statuses.map((status) => statusBadge("s", status).color)).size).toBe(statuses.length);
  });
});

test.each([
  [100, "100 %"],
  [99.999, "99.99 %"],
  [98.5, "98.5 %"],
  [0, "0 %"],
  [null, "no data"],
])("an uptime of %s shows as %s: rounded down, and no data is no data", (percent, value) => {
  expect(uptimeBadge("s", "7d", percent)).toMatchObject({ label: "s uptime 7d", value });
});

test("whatever a service is called, the SVG is XML and nothing of it is markup", () => {
  const svg = badgeSvg({ label: `"'><script>&\u0000\u0007\ud800`, value: "<b>", color: "#000" });
  for (const part of ["<script", "<b>", "\u0000", "\u0007", "\ud800"]) expect(svg.includes(part)).toBe(false);
  expect(svg).toContain("&#34;&#39;&#62;&#60;script&#62;&#38;");
  expect(badgeSvg({ label: "x".repeat(500), value: "y", color: "#000" })).toContain("…");
});
