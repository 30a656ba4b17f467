import { describe, expect, test } from "vitest";
import { newEvents } from "../../../src/shared/event-batch";

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => ({ seq: from + index }));

describe("of a batch of events", () => {
  test.each([
    // taken, after, events from-to → new ones from-to, lost from-to, taken
    ["the first ever is new", 0, 0, [1, 3], [1, 3], null, 3],
    ["what follows is new", 3, 3, [4, 5], [4, 5], null, 5],
    ["what is sent again is known", 5, 3, [4, 5], null, null, 5],
    ["what is sent again with more is known up to there", 5, 3, [4, 8], [6, 8], null, 8],
    ["one that begins later is left alone, and the source told where to begin", 3, 5, [6, 8], null, null, 3],
    ["all is left alone when nothing was taken yet and it begins later", 0, 5, [6, 8], null, null, 0],
    ["what the source does not hold any more is lost", 3, 3, [7, 8], [7, 8], [4, 6], 8],
    ["the start that a source does not hold any more is lost", 0, 0, [7, 8], [7, 8], [1, 6], 8],
    ["nothing new is nothing lost", 9, 3, [7, 8], null, null, 9],
  ] as const)("%s", (_, taken, after, sent, fresh, lost, next) => {
    expect(newEvents(taken, { after, events: numbered(sent[0], sent[1]) })).toEqual({
      events: fresh === null ? [] : numbered(fresh[0], fresh[1]),
      lost: lost === null ? null : { from: lost[0], to: lost[1] },
      taken: next,
    });
  });

  test("an empty one changes nothing", () => {
    expect(newEvents(4, { after: 4, events: [] })).toEqual({ events: [], lost: null, taken: 4 });
  });
});
