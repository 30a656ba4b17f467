/** A put's metadata and options in the `payload` column: rich values as text, sealed like the chunks. */
import superjson from "superjson";
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

/** Null for a delete. Throws `MissingKeyError`. */
export async function openMetadata(cipher: PayloadCipher, row: OperationRow): Promise<PutMetadata | null> {
  if (row.operation_type === "DELETE") return null;
  return superjson.parse(await cipher.openText(row.payload, row.key_id, row.operation_id));
}
