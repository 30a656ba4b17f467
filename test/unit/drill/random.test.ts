import { describe, expect, it } from "vitest";
import { seededRandom } from "../../drill/random.ts";

describe("the drill's random source", () => {
  it("repeats itself for a seed", () => {
    expect(seededRandom(7).bytes(1_001)).toEqual(seededRandom(7).bytes(1_001));
  });

  it("differs between seeds", () => {
    expect(seededRandom(7).bytes(16)).not.toEqual(seededRandom(8).bytes(16));
  });

  it("spreads numbers over the whole range and stays below the bound", () => {
    const random = seededRandom(1);
    const counts = [0, 0, 0, 0];
    for (let draw = 0; draw < 4_000; draw += 1) {
      const number = random.below(4);
      counts[number] = (counts[number] ?? 0) + 1;
    }
    expect(counts).toHaveLength(4);
    for (const count of counts) expect(count).toBeGreaterThan(900);
  });

  it("shuffles without losing an item", () => {
    const items = Array.from({ length: 50 }, (_, index) => index);
    const shuffled = seededRandom(1).shuffled(items);
    expect(shuffled).not.toEqual(items);
    expect(shuffled.sort((a, b) => a - b)).toEqual(items);
  });
});
