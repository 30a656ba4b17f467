/** Metadata and options of puts and uploads in TEXT columns: rich values as text, sealed like the chunks. */
import superjson, { type SuperJSONResult } from "superjson";
import type { PutMetadata } from "../../src/shared/protocol";
import type { OperationRow } from "./operation-row";
import type { PayloadCipher } from "./payload-cipher";
import type { UploadRow } from "./upload-store";

export interface SealedMetadata {
  readonly text: string;
  readonly keyId: string | null;
}

/** `id`: of the operation or upload that it belongs to. */
export async function sealMetadata(
  cipher: PayloadCipher,
  metadata: PutMetadata | null,
  id: string,
): Promise<SealedMetadata> {
  const keyId = await cipher.keyId();
  return { keyId, text: await cipher.sealText(superjson.stringify(metadata), id) };
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

/** Throws `MissingKeyError`. */
export async function openUploadMetadata(cipher: PayloadCipher, upload: UploadRow): Promise<PutMetadata> {
  return superjson.parse(await cipher.openText(upload.metadata, upload.key_id, upload.upload_id));
}
