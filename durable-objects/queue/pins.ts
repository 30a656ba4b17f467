/** Payloads that are being streamed to a reader: they outlive their operation until the last reader has ended. */
export class Pins {
  readonly #counts = new Map<string, number>();

  isPinned(operationId: string): boolean {
    return this.#counts.has(operationId);
  }

  /** Returns the release; calling it twice counts once. */
  pin(operationId: string): () => void {
    this.#counts.set(operationId, (this.#counts.get(operationId) ?? 0) + 1);
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      const left = (this.#counts.get(operationId) ?? 1) - 1;
      if (left === 0) this.#counts.delete(operationId);
      else this.#counts.set(operationId, left);
    };
  }
}
