/** What happened when, in seconds since the start, printed as it happens. */
export class Timeline {
  readonly #startedAt = performance.now();
  readonly #print: (line: string) => void;
  readonly #firsts = new Map<string, number>();

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  /** Seconds since the start. */
  now(): number {
    return (performance.now() - this.#startedAt) / 1_000;
  }

  say(text: string): void {
    this.#print(`${this.now().toFixed(2).padStart(7)} s  ${text}`);
  }

  /** Says `text` and remembers the time of its first occurrence under `name`. */
  mark(name: string, text: string): void {
    if (!this.#firsts.has(name)) this.#firsts.set(name, this.now());
    this.say(text);
  }

  /** When `name` was marked first, in seconds, or null. */
  at(name: string): number | null {
    return this.#firsts.get(name) ?? null;
  }
}
