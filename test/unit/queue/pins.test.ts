import { expect, it } from "vitest";
import { Pins } from "../../../durable-objects/queue/pins";

it("holds a payload until its last reader has ended", () => {
  const pins = new Pins();
  const first = pins.pin("a");
  const second = pins.pin("a");
  first();
  expect(pins.isPinned("a")).toBe(true);
  second();
  expect(pins.isPinned("a")).toBe(false);
});

it("counts a release that is called twice once", () => {
  const pins = new Pins();
  const first = pins.pin("a");
  pins.pin("a");
  first();
  first();
  expect(pins.isPinned("a")).toBe(true);
});

it("holds one payload and no other", () => {
  const pins = new Pins();
  pins.pin("a");
  expect(pins.isPinned("b")).toBe(false);
});

it("ignores a stale release after the payload was pinned anew", () => {
  const pins = new Pins();
  const first = pins.pin("a");
  first();
  pins.pin("a");
  first();
  expect(pins.isPinned("a")).toBe(true);
});
