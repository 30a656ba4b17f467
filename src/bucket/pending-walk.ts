/** The queued writes of several shards as one list, read as far as it is needed. Pure: `ask` does the asking. */
import { compareKeys, lastKeyBelow } from "../shared/key-order";
import type { PendingInReply } from "../shared/protocol";
import type { KnownPending, ListRange, PendingItem } from "./list-merge";

/** Null: the shard does not answer, and need not. */
export type AskShard = (shard: number, after: string) => Promise<PendingInReply | null>;

interface Known {
  readonly shard: number;
  readonly items: PendingItem[];
  /** All is known up to here; null: to the end. */
  until: string | null;
}

export class PendingWalk {
  readonly #shards: readonly Known[];
  readonly #ask: AskShard;

  constructor(shards: readonly number[], ask: AskShard) {
    this.#shards = shards.map((shard) => ({ shard, items: [], until: "" }));
    this.#ask = ask;
  }

  /** Nothing is queued, as far as is known. */
  get isEmpty(): boolean {
    return this.#shards.every(({ items }) => items.length === 0);
  }

  /** Sees to it that of every shard something is known beyond `after`. */
  async reach(after: string): Promise<void> {
    const short = this.#shards.filter(({ until }) => until !== null && compareKeys(until, after) <= 0);
    await Promise.all(
      short.map(async (known) => {
        const reply = await this.#ask(known.shard, after);
        const last = reply?.items.at(-1);
        for (const item of reply?.items ?? []) known.items.push({ ...item, clockOffsetMs: reply?.clockOffsetMs ?? 0 });
        known.until = reply?.isTruncated && last !== undefined ? last.stored.key : null;
      }),
    );
  }

  /** What is known of a range, as far as it is known of every shard. */
  known({ prefix, after }: ListRange): KnownPending {
    const until = this.#until(prefix);
    const isIn = ({ stored: { key } }: PendingItem) =>
      key.startsWith(prefix) && compareKeys(key, after) > 0 && (until === null || compareKeys(key, until) <= 0);
    const items = this.#shards.flatMap((known) => known.items.filter(isIn));
    return { items: items.sort((a, b) => compareKeys(a.stored.key, b.stored.key)), until };
  }

  #until(prefix: string): string | null {
    const end = lastKeyBelow(prefix);
    let until: string | null = null;
    for (const known of this.#shards) {
      if (known.until === null || compareKeys(known.until, end) >= 0) continue;
      if (until === null || compareKeys(known.until, until) < 0) until = known.until;
    }
    return until;
  }
}
