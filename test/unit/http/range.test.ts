import { expect, test } from "vitest";
import { parseRange, servedBytes } from "../../../src/http/range";

test.each([
  ["bytes=0-4", { offset: 0, length: 5 }],
  ["bytes=5-", { offset: 5 }],
  ["bytes=-3", { suffix: 3 }],
  ["bytes=-0", { suffix: 0 }],
  ["bytes=0-0", { offset: 0, length: 1 }],
  ["Bytes=2-3", { offset: 2, length: 2 }],
])("%s is one range", (header, range) => {
  expect(parseRange(header)).toEqual(range);
});

test.each([null, "", "bytes=", "bytes=-", "bytes=4-2", "bytes=0-1,3-4", "items=0-1", "bytes=a-b", "bytes=1-2-3"])(
  "%j asks for the whole object",
  (header) => {
    expect(parseRange(header)).toBeNull();
  },
);

test.each([
  [
    { offset: 0, length: 5 },
    { first: 0, last: 4 },
  ],
  [
    { offset: 2, length: 99 },
    { first: 2, last: 9 },
  ],
  [{ offset: 9 }, { first: 9, last: 9 }],
  [{ suffix: 3 }, { first: 7, last: 9 }],
  [{ suffix: 99 }, { first: 0, last: 9 }],
])("of 10 bytes %o serves %o", (range, served) => {
  expect(servedBytes(range, 10)).toEqual(served);
});
