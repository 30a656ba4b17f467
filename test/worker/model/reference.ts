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
  /** By isolate: what any read may answer there while R2 cannot be asked, so that a newer direct write is not seen. */
  readonly unsure: readonly ReadonlySet<StateId>[];
}

export function newKey(isolates: number): KeyModel {
  const absent = new Set([ABSENT]);
  const everywhere = Array.from({ length: isolates }, () => absent);
  return { current: absent, beneath: absent, seen: everywhere, unsure: everywhere };
}

/** Null: a writer cannot have been told this. */
export function afterWrite(model: KeyModel, event: WriteEvent, etagOf: EtagOf): KeyModel | null {
  const { isolate, state, condition, told } = event;
  if (condition !== null && (told === "stored" || told === "queued" || told === "condition_failed")) {
    const known = event.isBlind ? union(model.current, model.beneath, ...model.unsure) : model.current;
    const verdict = told !== "condition_failed";
    if (![...known].some((of) => holds(condition, etagOf(of)) === verdict)) return null;
  }
  const only = new Set([state]);
  // Its writer reads its own write; the others may yet read what was before.
  const acknowledged = (states: ReadonlySet<StateId>, of: number) => (of === isolate ? only : union(states, only));
  if (condition !== null && event.isBlind && told === "queued") {
    // Decided on what was pending: what R2 had got by then, unseen, comes after it.
    return { ...everywhere(model, (states) => union(states, only)), unsure: model.unsure.map(acknowledged) };
  }
  switch (told) {
    case "condition_failed":
    case "refused":
      return model;
    case "unknown":
      return everywhere(model, (states) => union(states, only));
    case "stored":
    case "queued":
      return {
        current: only,
        beneath: told === "stored" ? only : union(model.beneath, only),
        seen: model.seen.map(acknowledged),
        unsure: model.unsure.map(acknowledged),
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
  return everywhere(model, (states) => union(states, model.beneath));
}

/** Every lease has run out: all see what was acknowledged, wherever it was. */
export function afterLeases(model: KeyModel): KeyModel {
  return { ...model, seen: model.seen.map(() => model.current) };
}

/** The queue has drained, and every lease has run out. */
export function afterDrain(model: KeyModel): KeyModel {
  return everywhere(model, () => model.current);
}

function either(one: KeyModel, other: KeyModel): KeyModel {
  return {
    current: union(one.current, other.current),
    beneath: union(one.beneath, other.beneath),
    seen: one.seen.map((states, isolate) => union(states, other.seen[isolate] ?? [])),
    unsure: one.unsure.map((states, isolate) => union(states, other.unsure[isolate] ?? [])),
  };
}

function everywhere(model: KeyModel, to: (states: ReadonlySet<StateId>) => ReadonlySet<StateId>): KeyModel {
  return {
    current: to(model.current),
    beneath: to(model.beneath),
    seen: model.seen.map(to),
    unsure: model.unsure.map(to),
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
