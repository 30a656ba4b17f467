/** `npm run simulate`: the figures to stderr, the plot to stdout. */
import { simulate } from "./model";
import { plot } from "./plot";

const SIZES = [10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000];

const outcomes = SIZES.map((isolates) => {
  const outcome = simulate(isolates);
  console.error(JSON.stringify(outcome));
  return outcome;
});
console.log(plot(outcomes));
