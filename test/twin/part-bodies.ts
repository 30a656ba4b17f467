/** Bodies of parts: those of puts, and large ones. Each is another one, so that each part has an etag of its own. */
import type { Bodies, MadeBody } from "../worker/model/bodies";
import type { PartKind } from "./spec";

/** What R2 asks of all parts but the last. */
const FULL_BYTES = 5 * 1024 * 1024;
const MORE_BYTES = 1_000;

export type PartBody = Pick<MadeBody, "value" | "size" | "reuse"> & { readonly bytes: Uint8Array };

export async function partBody(kind: PartKind, key: number, bodies: Bodies): Promise<PartBody> {
  if (kind === "none") return { bytes: new Uint8Array(), value: "", reuse: () => undefined };
  if (kind !== "full" && kind !== "fuller") {
    const { content, ...body } = await bodies.make(kind, key);
    return { ...body, bytes: content.bytes };
  }
  const { content } = await bodies.make("text", key);
  const bytes = new Uint8Array(FULL_BYTES + (kind === "full" ? 0 : MORE_BYTES)).fill(7);
  bytes.set(content.bytes);
  return { bytes, value: bytes, reuse: () => undefined };
}
