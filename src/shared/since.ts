/** A place in a sequence of events, as `next_since` gives it: `<epoch>.<seq>`. Pure. */
export interface Since {
  readonly epoch: string;
  readonly seq: number;
}

/** The longest that is read; nothing that we give out is longer. */
const MAX_LENGTH = 96;

export function formatSince({ epoch, seq }: Since): string {
  return `${epoch}.${seq}`;
}

/** `null` for a text that is no such place. */
export function parseSince(text: string): Since | null {
  if (text.length > MAX_LENGTH) return null;
  const [, epoch, seq] = /^([A-Za-z0-9_-]{1,64})\.(\d{1,15})$/.exec(text) ?? [];
  return epoch === undefined || seq === undefined ? null : { epoch, seq: Number(seq) };
}

/** Whether everything after a place is still there: the same epoch, not of the future, and no retention has passed it by. */
export function canResume(
  since: Since,
  held: { readonly epoch: string; readonly head: number; readonly oldest: number },
): boolean {
  return since.epoch === held.epoch && since.seq <= held.head && since.seq >= held.oldest - 1;
}
