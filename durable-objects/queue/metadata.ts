/** A put's metadata and options in the `payload` column: rich values as text, sealed like the chunks. */
import superjson, { type SuperJSONResult } from "superjson";
import type { PutMetadata } from "../../src/shared/protocol";
import type { OperationRow } from "./operation-row";
import type { PayloadCipher } from "./payload-cipher";

export interface SealedMetadata {
  readonly text: string;
  readonly keyId: string | null;
}

export async function sealMetadata(
  cipher: PayloadCipher,
  metadata: PutMetadata | null,
  operationId: string,
): Promise<SealedMetadata> {
  const keyId = await cipher.keyId();
  return { keyId, text: await cipher.sealText(superjson.stringify(metadata), operationId) };
}

/** The columns that metadata is opened by. */
export type SealedRow = Pick<OperationRow, "operation_type" | "operation_id" | "payload" | "key_id">;

/** Null for a delete. Throws `MissingKeyError`. */
export async function openMetadata(cipher: PayloadCipher, row: SealedRow): Promise<PutMetadata | null> {
  if (row.operation_type === "DELETE") return null;
  const sealed: SuperJSONResult = JSON.parse(await cipher.openText(row.payload, row.key_id, row.operation_id));
  // Most metadata has no dates. To have it walked and copied for them would be felt in a list.
  return sealed.meta === undefined ? (sealed.json as unknown as PutMetadata) : superjson.deserialize(sealed);
}
