import type { Stored } from "../shared/protocol";

/** What became of a write: in R2, or durably queued. Anything else is thrown. */
export type PutOutcome =
  | { readonly kind: "stored"; readonly object: R2Object }
  | { readonly kind: "queued"; readonly object: R2Object; readonly operation: Stored }
  /** `onlyIf` did not hold; nothing was written. */
  | { readonly kind: "condition_failed" };

export type DeleteOutcome =
  | { readonly kind: "deleted" }
  | { readonly kind: "queued"; readonly operations: readonly Stored[] };

/** Where a read's answer came from. */
export type ReadSource = "primary" | "queue" | "cache";
