/**
 * The native bucket that never fails, with all that each key may be.
 *
 * Most of the time a key has one state, the object under its own name. A write that was refused with an unknown outcome
 * may take effect or not, at any time until the next acknowledged one: from then on a key has several states, each an
 * object of its own. A state beside the first is kept under another name, outside the service's keys.
 */
import { isRangeOfNothing } from "./differences";
import { hasWritten, isSame, type Observation } from "./observe";

/** A call on one name of the bucket. */
export type Ask = (at: string) => Promise<Observation>;

export interface Write {
  readonly ask: Ask;
  /** The same again without its conditions: makes what a write that took effect has made. */
  readonly make: (at: string) => Promise<unknown>;
  /** Of what it makes; null for a delete. */
  readonly etag: string | null;
}

interface State {
  readonly at: string;
  readonly make: Write["make"];
  readonly etag: string | null;
}

const MOST_COMBINATIONS = 16;

/** What was told is nothing that a native bucket says in any of its states. */
export class Mismatch extends Error {
  constructor(what: string, told: Observation, natives: readonly Observation[]) {
    const possible = natives.map((native) => JSON.stringify(native)).join("\n    or ");
    super(`of ${what} was told\n       ${JSON.stringify(told)}\n  and not ${possible}`);
  }
}

export class NativeTwin {
  readonly #bucket: R2Bucket;
  readonly #states = new Map<string, readonly State[]>();
  /** What reads may still answer while R2 itself cannot be read: an isolate wrote past a queue that it had not heard of. */
  readonly #overtaken = new Map<string, readonly State[]>();
  #copies = 0;

  constructor(bucket: R2Bucket) {
    this.#bucket = bucket;
  }

  /** The etag of the key, of its first state if there are several. */
  etagOf(key: string): string | null {
    return this.#of(key)[0]?.etag ?? null;
  }

  /** Compares what a read has told. */
  async read(key: string, told: Observation, ask: Ask, isBlind: boolean): Promise<void> {
    if (told.kind === "refused" || told.kind === "broke") return;
    const natives = await each(this.#possible(key, isBlind), ({ at }) => ask(at));
    if (natives.some((native) => isSame(native, told) || isRangeOfNothing(native, told))) return;
    throw new Mismatch(key, told, natives);
  }

  /**
   * Compares what a list has told: in each combination of the states that keys may be in, one of which must explain it.
   * False: there are too many to be tried.
   */
  async list(told: Observation, ask: () => Promise<Observation>, isBlind: boolean): Promise<boolean> {
    if (told.kind === "refused") return true;
    const unsure = [...this.#states.keys()]
      .map((key) => ({ key, states: this.#possible(key, isBlind) }))
      .filter(({ states }) => states.length > 1);
    const combinations = unsure.reduce((product, { states }) => product * states.length, 1);
    if (combinations > MOST_COMBINATIONS) return false;
    const natives: Observation[] = [];
    for (let n = 0, isFound = false; n < combinations && !isFound; n += 1) {
      let rest = n;
      for (const { key, states } of unsure) {
        if (combinations > 1) await states[rest % states.length]?.make(key);
        rest = Math.floor(rest / states.length);
      }
      natives.push(await ask());
      isFound = isSame(natives[n] ?? told, told);
      if (!isFound && n === combinations - 1) throw new Mismatch("the list", told, natives);
    }
    for (const { key, states } of unsure) await states[0]?.make(key);
    return true;
  }

  /** Compares what a write of one key has told, and takes the key to where it is now. */
  async write(key: string, told: Observation, write: Write, isBlind: boolean): Promise<void> {
    if (told.kind === "refused") return told.isUnknown ? this.mayBe(key, write) : undefined;
    const states = this.#possible(key, isBlind);
    const natives = await each(states, ({ at }) => write.ask(at));
    if (!natives.some((native) => isSame(native, told))) throw new Mismatch(key, told, natives);
    // What has taken effect natively, in a state that the key is not in after all, is undone.
    const isDone = hasWritten(told);
    const replaced = isDone ? this.#of(key).length : 0;
    if (isDone) await this.#becomes(key, write, hasWritten(natives[0]));
    await each(states, async ({ at, make }, n) => {
      if (n >= replaced && hasWritten(natives[n])) await make(at);
    });
  }

  /** The write may take effect, now or later. */
  async mayBe(key: string, { ask, make, etag }: Write): Promise<void> {
    const states = this.#of(key);
    for (const state of states) {
      const at = this.#name(key);
      await state.make(at);
      if (hasWritten(await ask(at))) {
        this.#states.set(key, [...states, { at, make, etag }]);
        return;
      }
      await this.#bucket.delete(at);
    }
  }

  /** An isolate that has not heard of the key's queued write is about to write past it. */
  async overtake(key: string): Promise<void> {
    const copies = await each(this.#of(key), async ({ make, etag }) => {
      const at = this.#name(key);
      await make(at);
      return { at, make, etag };
    });
    this.#overtaken.set(key, [...(this.#overtaken.get(key) ?? []), ...copies]);
  }

  /** Whatever was written past is in the queue no more. */
  settle(key: string): void {
    this.#overtaken.delete(key);
  }

  async #becomes(key: string, { make, etag }: Write, isThere: boolean): Promise<void> {
    if (!isThere) await make(key);
    const [, ...others] = this.#of(key);
    if (others.length > 0) await this.#bucket.delete(others.map(({ at }) => at));
    this.#states.set(key, [{ at: key, make, etag }]);
  }

  #possible(key: string, isBlind: boolean): readonly State[] {
    const overtaken = isBlind ? this.#overtaken.get(key) : undefined;
    return overtaken === undefined ? this.#of(key) : [...this.#of(key), ...overtaken];
  }

  #of(key: string): readonly State[] {
    return this.#states.get(key) ?? [{ at: key, make: (at) => this.#bucket.delete(at), etag: null }];
  }

  #name(key: string): string {
    this.#copies += 1;
    return `state-${this.#copies}/${key}`;
  }
}

/** One after the other: calls of one key must not meet. */
async function each<T, R>(items: readonly T[], call: (item: T, n: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const [n, item] of items.entries()) results.push(await call(item, n));
  return results;
}
