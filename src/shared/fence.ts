/** A call of unknown end may land this much after its deadline, ms, before we stop fearing it. Isolates and shards agree on it. */
export const FENCE_MARGIN_MS = 5_000;
