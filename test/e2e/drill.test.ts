import { describe, expect, it } from "vitest";
import { runCommand } from "./command.ts";

describe("npm run drill", () => {
  it("loses, changes and resurrects nothing through an outage and two power cuts", async ({ signal }) => {
    const { exitCode, output } = await runCommand("npm", ["run", "drill", "--", "--quick"], signal);
    expect(output).toContain("verdict: lost 0, wrong 0, resurrected 0");
    expect(output).toContain("also: unexplained 0, failed checks 0");
    expect(exitCode).toBe(0);
  });
});
