/**
 * What a key may be, by what its writers were told. Pure, and small enough to be seen to be right.
 *
 * A state is the id of the write that made it. Events come in the order in which they happened; of two that ran at the
 * same time both orders are tried, and what either allows is allowed.
 */

export type StateId = string;

/** No object. */
export const ABSENT: StateId = "absent";

/** The content of a state, as far as conditions look at it. */
export type EtagOf = (state: StateId) => string | null;

export type Condition =
  | { readonly if: "etag_matches"; readonly etag: string }
  | { readonly if: "etag_differs"; readonly etag: string };

/** What the writer was told. `unknown`: the write may take effect or not. */
export type Told = "stored" | "queued" | "condition_failed" | "refused" | "unknown";

export interface WriteEvent {
  readonly isolate: number;
  readonly state: StateId;
  readonly condition: Condition | null;
  readonly told: Told;
  /** R2 could not be read meanwhile: a condition may have been decided by what was known of the key. */
  readonly isBlind: boolean;
}

export interface KeyModel {
  /** The logical state: what a strong read may answer, and what R2 may hold after the drain. */
  readonly current: ReadonlySet<StateId>;
  /** What R2 may hold if the operation that is pending is cancelled. */
  readonly beneath: ReadonlySet<StateId>;
  /** By isolate: what a bounded read may answer there. */
  readonly seen: readonly ReadonlySet<StateId>[];
}

export function newKey(isolates: number): KeyModel {
  const absent = new Set([ABSENT]);
  return { current: absent, beneath: absent, seen: Array.from({ length: isolates }, () => absent) };
}

/** Null: a writer cannot have been told this. */
export function afterWrite(model: KeyModel, event: WriteEvent, etagOf: EtagOf): KeyModel | null {
  const { isolate, state, condition, told } = event;
  if (condition !== null && (told === "stored" || told === "queued" || told === "condition_failed")) {
    const known = event.isBlind ? union(model.current, model.beneath, ...model.seen) : model.current;
    const verdict = told !== "condition_failed";
    if (![...known].some((of) => holds(condition, etagOf(of)) === verdict)) return null;
  }
  switch (told) {
    case "condition_failed":
    case "refused":
      return model;
    case "unknown":
      return {
        current: union(model.current, [state]),
        beneath: union(model.beneath, [state]),
        seen: model.seen.map((states) => union(states, [state])),
      };
    case "stored":
    case "queued":
      return {
        current: new Set([state]),
        beneath: told === "stored" ? new Set([state]) : union(model.beneath, [state]),
        seen: model.seen.map((states, of) => (of === isolate ? new Set([state]) : union(states, [state]))),
      };
  }
}

/** Two writes that ran at the same time. Null: no order of them explains what their writers were told. */
export function afterBoth(model: KeyModel, one: WriteEvent, other: WriteEvent, etagOf: EtagOf): KeyModel | null {
  const orders = [
    [one, other],
    [other, one],
  ].flatMap((events) => {
    let after: KeyModel | null = model;
    for (const event of events) after = after === null ? null : afterWrite(after, event, etagOf);
    return after === null ? [] : [after];
  });
  const [first, second] = orders;
  return first !== undefined && second !== undefined ? either(first, second) : (first ?? null);
}

/** A queued operation of the key was cancelled: what is beneath it shows again. */
export function afterCancel(model: KeyModel): KeyModel {
  return {
    current: union(model.current, model.beneath),
    beneath: model.beneath,
    seen: model.seen.map((states) => union(states, model.beneath)),
  };
}

/** Every lease has run out, and the queue has drained. */
export function afterDrain(model: KeyModel): KeyModel {
  return { current: model.current, beneath: model.current, seen: model.seen.map(() => model.current) };
}

function either(one: KeyModel, other: KeyModel): KeyModel {
  return {
    current: union(one.current, other.current),
    beneath: union(one.beneath, other.beneath),
    seen: one.seen.map((states, isolate) => union(states, other.seen[isolate] ?? [])),
  };
}

function holds(condition: Condition, etag: string | null): boolean {
  switch (condition.if) {
    case "etag_matches":
      return etag === condition.etag;
    case "etag_differs":
      return etag === null || (condition.etag !== "*" && etag !== condition.etag);
  }
}

function union(...sets: readonly Iterable<StateId>[]): ReadonlySet<StateId> {
  return new Set(sets.flatMap((set) => [...set]));
}
