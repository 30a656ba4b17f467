/** What operators set by hand, for how long, and what ends with it. Pure. */
import { OPERATION_CLASSES } from "../../src/shared/protocol";
import type { ServiceMode } from "../../src/shared/records";
import type { ModeChange } from "../../src/shared/rpc";
import { type ByHand, NOTHING_BY_HAND } from "./service-state";

const MODES: readonly ServiceMode[] = ["auto", "forced_open", "forced_closed", "metrics_only"];
const MAX_REASON = 500;
const MAX_DURATION_MS = 365 * 24 * 3_600_000;

/** `null` when the change makes sense, else a sentence that says what is allowed. */
export function modeProblem({ mode, circuits, reason, durationMs }: ModeChange): string | null {
  if (!MODES.includes(mode)) return `mode must be one of ${MODES.join(", ")}.`;
  if (circuits !== undefined && !(circuits.length > 0 && circuits.every((c) => OPERATION_CLASSES.includes(c)))) {
    return "circuits must be a list out of read, write.";
  }
  if (typeof reason !== "string" || reason.length > MAX_REASON)
    return `reason must have at most ${MAX_REASON} characters.`;
  if (durationMs !== undefined && !(Number.isInteger(durationMs) && durationMs > 0 && durationMs <= MAX_DURATION_MS)) {
    return `duration_ms must be a whole number from 1 to ${MAX_DURATION_MS}.`;
  }
  return null;
}

/** `auto` for both circuits takes back read_only too, unless it says otherwise: then nothing is left by hand. */
export function changedByHand(held: ByHand, change: ModeChange, now: number): ByHand {
  const circuits = change.circuits ?? OPERATION_CLASSES;
  const until = change.durationMs === undefined ? null : now + change.durationMs;
  const entry = { mode: change.mode, until: change.mode === "auto" ? null : until };
  const endsAll = change.mode === "auto" && circuits.length === OPERATION_CLASSES.length;
  const readOnly = change.readOnly ?? (endsAll ? false : undefined);
  return {
    modes: {
      read: circuits.includes("read") ? entry : held.modes.read,
      write: circuits.includes("write") ? entry : held.modes.write,
    },
    readOnly: readOnly === undefined ? held.readOnly : { on: readOnly, until: readOnly ? until : null },
  };
}

/** Without what has run out. The same value when nothing has. */
export function expiredByHand(held: ByHand, now: number): ByHand {
  const isOver = ({ until }: { readonly until: number | null }) => until !== null && until <= now;
  const { read, write } = held.modes;
  if (![read, write, held.readOnly].some(isOver)) return held;
  return {
    modes: {
      read: isOver(read) ? NOTHING_BY_HAND.modes.read : read,
      write: isOver(write) ? NOTHING_BY_HAND.modes.write : write,
    },
    readOnly: isOver(held.readOnly) ? NOTHING_BY_HAND.readOnly : held.readOnly,
  };
}

export function isNothing({ modes, readOnly }: ByHand): boolean {
  return modes.read.mode === "auto" && modes.write.mode === "auto" && !readOnly.on;
}
