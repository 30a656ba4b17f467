/**
 * How far a subscriber is behind. The platform does not tell what of a sent frame has left, so only the other side can:
 * by acknowledging event numbers, or at least by saying something. Pure.
 */
const GROUP_BYTES = 32 * 1024;
const GROUP_MS = 1_000;
export const MAX_BEHIND_BYTES = 1024 * 1024;
const MAX_BEHIND_MS = 10_000;

/** Frames that were sent in a row. */
interface Group {
  readonly at: number;
  lastSeq: number;
  bytes: number;
}

export interface Flow {
  /** Whether it acknowledges what it receives. */
  acks: boolean;
  /** Sent and not acknowledged, oldest first. */
  readonly groups: Group[];
  /** The sum of their bytes. */
  bytes: number;
}

export function createFlow(acks: boolean): Flow {
  return { acks, groups: [], bytes: 0 };
}

export function sent(flow: Flow, seq: number, bytes: number, now: number): void {
  const last = flow.groups.at(-1);
  flow.bytes += bytes;
  if (last !== undefined && last.bytes < GROUP_BYTES && now - last.at < GROUP_MS) {
    last.lastSeq = seq;
    last.bytes += bytes;
  } else {
    flow.groups.push({ at: now, lastSeq: seq, bytes });
  }
}

/** It has received everything up to event `seq`. */
export function acknowledged(flow: Flow, seq: number): void {
  flow.acks = true;
  drop(flow, (group) => group.lastSeq <= seq);
}

/** It was heard of at `at`. That is all that is known of one that does not acknowledge. */
export function heard(flow: Flow, at: number): void {
  if (!flow.acks) drop(flow, (group) => group.at <= at);
}

function drop(flow: Flow, isReceived: (group: Group) => boolean): void {
  for (let first = flow.groups[0]; first !== undefined && isReceived(first); first = flow.groups[0]) {
    flow.bytes -= first.bytes;
    flow.groups.shift();
  }
}

/**
 * Whether it is to be let go: one that acknowledges, when it is 10 s or 1 MiB behind; one that does not, when it has
 * not said a word in 10 s and for 1 MiB. `isReplaying`: it is being sent what it missed, as fast as it acknowledges.
 */
export function isTooFarBehind(flow: Flow, isReplaying: boolean, now: number): boolean {
  const oldest = flow.groups[0];
  if (oldest === undefined) return false;
  const isLate = now - oldest.at > MAX_BEHIND_MS;
  const isMuch = flow.bytes > MAX_BEHIND_BYTES;
  return flow.acks ? isLate || (isMuch && !isReplaying) : isLate && isMuch;
}
