/** Deadlines that run only while the other side owes an answer. */

/**
 * A clock for a call with a streamed body. It runs while the receiver owes something (the taking of a chunk, the answer)
 * and stands still while the source does: a slow source is its owner's. Each chunk taken starts it anew.
 */
export class OwedClock {
  readonly #ms: number;
  readonly #expire: () => void;
  #owedSince: number | null;
  #timer: ReturnType<typeof setTimeout>;

  constructor(ms: number, expire: () => void) {
    this.#ms = ms;
    this.#expire = expire;
    this.#owedSince = Date.now();
    this.#timer = setTimeout(this.#check, ms);
  }

  /** The receiver has what there is, and owes from now. */
  run(): void {
    this.#owedSince = Date.now();
  }

  /** The source is waited for. */
  pause(): void {
    this.#owedSince = null;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  // One timer for all chunks: setting a new one for each would cost more than it measures.
  #check = () => {
    const left = this.#owedSince === null ? this.#ms : this.#owedSince + this.#ms - Date.now();
    if (left <= 0) this.#expire();
    else this.#timer = setTimeout(this.#check, left);
  };
}

/** The result of `call`, or the rejection `late()` once the clock has expired. The call itself is not stopped. */
export async function withDeadline<T>(
  ms: number,
  late: () => Error,
  call: (clock: OwedClock) => Promise<T>,
): Promise<T> {
  let expire = () => {};
  const expired = new Promise<never>((_, reject) => {
    expire = () => reject(late());
  });
  const clock = new OwedClock(ms, () => expire());
  try {
    return await Promise.race([call(clock), expired]);
  } finally {
    clock.stop();
  }
}
