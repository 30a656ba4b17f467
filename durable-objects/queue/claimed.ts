import type { OperationRow } from "./operation-row";

/** A claimed operation, with what must be known of its key's past. */
export interface Claim {
  readonly row: OperationRow;
  readonly lease: string;
  /** An earlier call may have carried these bytes to R2: look before writing. */
  readonly looksFirst: boolean;
  /** Until when that earlier call may yet land; 0: it cannot. */
  readonly ownCallUntil: number;
  /** A call of unknown end was on this key: look once more after writing. */
  readonly verifies: boolean;
}

export type Applied =
  | { readonly kind: "completed"; readonly version: string | null }
  | { readonly kind: "superseded" }
  /** To be looked at again. Unless it says why, an earlier call may yet land, or others write at the same time. */
  | { readonly kind: "postponed"; readonly until: number; readonly why?: string };
