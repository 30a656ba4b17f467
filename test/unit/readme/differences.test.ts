import { expect, test } from "vitest";
import readme from "../../../README.md?raw";
import { DIFFERENCES } from "../../worker/three-ways/differences";

test.each(Object.values(DIFFERENCES))("the README has a row that says why it differs: $row", ({ row, answer }) => {
  const line = readme.split("\n").find((found) => found.startsWith(`| ${row} |`));
  expect(line).toContain(answer.error);
});
