/** A random source that a seed repeats (mulberry32, Tommy Ettinger, public domain). */
export interface Random {
  /** 0 ≤ x < 1. */
  next(): number;
  /** A whole number, 0 ≤ n < `below`. */
  below(below: number): number;
  bytes(length: number): Uint8Array;
  shuffled<T>(items: readonly T[]): T[];
}

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next32 = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const random: Random = {
    next: () => next32() / 2 ** 32,
    below: (below) => Math.floor(random.next() * below),
    bytes(length) {
      const words = new Uint32Array(Math.ceil(length / 4));
      for (let index = 0; index < words.length; index += 1) words[index] = next32();
      return new Uint8Array(words.buffer, 0, length);
    },
    shuffled(items) {
      const keyed = items.map((item) => ({ item, order: next32() }));
      return keyed.sort((a, b) => a.order - b.order).map(({ item }) => item);
    },
  };
  return random;
}
