/** Whether the machine stands still now and then: whoever shares it takes its time from timers, deadlines and landings. */

const EVERY_MS = 20;

export class Stalls {
  readonly #ticker: ReturnType<typeof setInterval>;
  #ticked = Date.now();
  #longestMs = 0;

  constructor() {
    this.#ticker = setInterval(() => this.#tick(), EVERY_MS);
  }

  /** By how much a timer was late, at worst, ms. */
  get longestMs(): number {
    return this.#longestMs;
  }

  stop(): void {
    clearInterval(this.#ticker);
  }

  #tick(): void {
    const now = Date.now();
    this.#longestMs = Math.max(this.#longestMs, now - this.#ticked - EVERY_MS);
    this.#ticked = now;
  }
}
