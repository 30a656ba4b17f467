/** What the payload of an operation is made of: one piece for a put, one for each part of a multipart upload. */
import type { OperationRow } from "./operation-row";
import type { Shard } from "./shard";
import type { PartRow } from "./upload-store";

/** Bytes that are stored under one id, in chunks. */
export interface Piece {
  readonly id: string;
  readonly keyId: string | null;
  readonly size: number;
}

/** In order; null when not all of it is here: parts in R2 cannot be read before their upload is completed. */
export function piecesOf(shard: Shard, row: OperationRow): Piece[] | null {
  switch (row.operation_type) {
    case "DELETE":
      return [];
    case "UPLOAD":
      return [{ id: row.operation_id, keyId: row.key_id, size: row.size }];
    case "MULTIPART_UPLOAD": {
      const parts = row.upload_id === null ? [] : shard.uploads.parts(row.upload_id);
      const pieces = parts.map(pieceOf).filter((piece) => piece !== null);
      return pieces.length === parts.length ? pieces : null;
    }
  }
}

/** The bytes of a part; null: they lie in R2. */
export function pieceOf(part: PartRow): Piece | null {
  return part.payload_id === null ? null : { id: part.payload_id, keyId: part.key_id, size: part.size ?? 0 };
}
