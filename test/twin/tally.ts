/** How often our bucket refused what a native one would have done. */
import { MOST_REFUSED, refusalOf } from "./differences";
import type { Observation } from "./observe";
import type { Call } from "./spec";

type Method = Call["do"];

export class Tally {
  readonly #calls = new Map<Method, number>();
  readonly #refused = new Map<Method, Map<string, number>>();

  /** Throws on a refusal that is not allowed. */
  count(method: Method, told: Observation): void {
    add(this.#calls, method);
    const refusal = refusalOf(method, told);
    if (refusal === null) return;
    const refused = this.#refused.get(method) ?? new Map<string, number>();
    this.#refused.set(method, refused);
    add(refused, refusal);
  }

  /** Which calls were refused more often than they may be. */
  get excesses(): string[] {
    return MOST_REFUSED.flatMap(({ methods, share }) => {
      const calls = sum(methods.map((method) => this.#calls.get(method) ?? 0));
      const refused = sum(methods.flatMap((method) => [...(this.#refused.get(method)?.values() ?? [])]));
      return refused > calls * share ? [`${refused} of ${calls} calls of ${methods} were refused`] : [];
    });
  }

  toString(): string {
    const refused = [...this.#refused].map(([method, counts]) => [method, Object.fromEntries(counts)]);
    return JSON.stringify({ calls: Object.fromEntries(this.#calls), refused: Object.fromEntries(refused) });
  }
}

function add<K>(counts: Map<K, number>, name: K): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
