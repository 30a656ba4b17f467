/** Judges the parts that a completion names, as R2 does. Pure. */
import type { NamedPart } from "../../src/shared/multipart-protocol";
import type { Refusal } from "../../src/shared/protocol";
import { entityTooSmall, invalidPart, unequalParts } from "./refusals";
import type { PartRow } from "./upload-store";

const MIN_PART_BYTES = 5 * 1024 * 1024;

/** A part of which everything is known that its object depends on. */
export interface KnownPart extends PartRow {
  readonly size: number;
  readonly md5: string;
}

export type PartsVerdict =
  /** In order of their numbers. */
  | { readonly kind: "whole"; readonly parts: readonly KnownPart[] }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  /** R2 may have these parts, but nobody has told enough of them. */
  | { readonly kind: "unrecorded"; readonly partNumbers: readonly number[] };

/** `isAllHere`: R2 cannot have parts that are not recorded, because the upload was begun in the queue. */
export function judgeParts(
  named: readonly NamedPart[],
  recorded: readonly PartRow[],
  isAllHere: boolean,
): PartsVerdict {
  const byNumber = new Map(recorded.map((part) => [part.part_number, part]));
  const known: KnownPart[] = [];
  const unrecorded: number[] = [];
  for (const { partNumber, etag } of named) {
    const part = byNumber.get(partNumber);
    if (part === undefined ? isAllHere : part.etag !== etag) return { kind: "refused", refusal: invalidPart() };
    if (isKnown(part)) known.push(part);
    else unrecorded.push(partNumber);
  }
  if (unrecorded.length > 0) return { kind: "unrecorded", partNumbers: unrecorded };
  const problem = sizeProblem(known);
  if (problem !== null) return { kind: "refused", refusal: problem };
  return { kind: "whole", parts: inOrder(known) };
}

/** Whether R2 alone has to decide: nothing that is named lies in the queue. Throws nothing, knows nothing of sizes. */
export function areAllInR2(named: readonly NamedPart[], recorded: readonly PartRow[]): boolean {
  const here = new Set(recorded.filter((part) => part.payload_id !== null).map((part) => part.part_number));
  return !named.some(({ partNumber }) => here.has(partNumber));
}

function isKnown(part: PartRow | undefined): part is KnownPart {
  return part !== undefined && part.size !== null && part.md5 !== null;
}

/** R2 looks at the sizes first in the caller's order, and then in that of the numbers. */
function sizeProblem(parts: readonly KnownPart[]): Refusal | null {
  if (parts.slice(0, -1).some(({ size }) => size < MIN_PART_BYTES)) return entityTooSmall();
  const sizes = inOrder(parts).map(({ size }) => size);
  const [first = 0] = sizes;
  const last = sizes.at(-1) ?? 0;
  const isEven = sizes.slice(0, -1).every((size) => size === first && size >= MIN_PART_BYTES);
  return isEven && last <= first ? null : unequalParts();
}

function inOrder(parts: readonly KnownPart[]): KnownPart[] {
  return [...parts].sort((a, b) => a.part_number - b.part_number);
}
