/** The busy epochs of a shard (pure): what is announced, and when it must be announced anew. */
import type { BusyKeys } from "../../src/shared/protocol";

/** Above this many keys a shard is busy as a whole: a list would cost every isolate more than it saves. */
export const MAX_LISTED_KEYS = 16;

export interface Announced {
  readonly epoch: number;
  readonly busy: BusyKeys | null;
  /** A calm notice of this epoch was sent, and its answer has not come (yet): it may have been taken. */
  readonly isCalming: boolean;
}

/** Something is to be held for a key. Unchanged (the same value) when that is announced already. */
export function widen<A extends Announced>(state: A, keyHash: number): A {
  const { epoch, busy, isCalming } = state;
  const covers = busy === "all" || (busy?.includes(keyHash) ?? false);
  // While a calm notice is under way, even what is announced must be announced again, or the calm would win.
  if (covers && !isCalming) return state;
  if (covers) return { ...state, epoch: epoch + 1, isCalming: false };
  const listed = busy ?? [];
  const wider = listed.length >= MAX_LISTED_KEYS ? "all" : [...listed, keyHash];
  return { ...state, epoch: epoch + 1, busy: wider, isCalming: false };
}

/**
 * What is announced, cut down to what is held: so that one parked operation slows only its key. `held` is the list of
 * key hashes, or null when they are too many. Unchanged when nothing would be gained.
 */
export function narrow<A extends Announced>(state: A, held: readonly number[] | null): A {
  if (state.busy === null || held === null || held.length === 0 || held.length > MAX_LISTED_KEYS) return state;
  const gains = state.busy === "all" || held.length < state.busy.length;
  return gains ? { ...state, epoch: state.epoch + 1, busy: [...held], isCalming: false } : state;
}
