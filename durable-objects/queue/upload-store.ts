import type { UploadOrigin } from "../../src/shared/multipart-protocol";

/** A row of `uploads`. */
export interface UploadRow {
  readonly upload_id: string;
  readonly key: string;
  readonly origin: UploadOrigin;
  readonly state: "open" | "queued" | "aborted";
  readonly r2_upload_id: string | null;
  readonly metadata: string;
  readonly key_id: string | null;
  readonly created_at: number;
  /** When R2 may first have been told to complete it; null: never. */
  readonly completing_from: number | null;
  readonly abort_tries: number;
}

/** A row of `upload_parts`. */
export interface PartRow {
  readonly upload_id: string;
  readonly part_number: number;
  readonly etag: string;
  readonly size: number | null;
  readonly md5: string | null;
  readonly payload_id: string | null;
  readonly key_id: string | null;
  readonly r2_etag: string | null;
}

type NewUpload = Omit<UploadRow, "state" | "completing_from" | "abort_tries">;

/** The payload of a part that is no longer needed. */
interface Payload {
  readonly id: string;
  readonly size: number;
}

/**
 * All SQL on multipart uploads. What open uploads hold is counted in memory, as the operations are: it takes its part of
 * the queue's bounds.
 */
export class UploadStore {
  readonly #sql: SqlStorage;
  #openHere: number;
  #heldBytes: number;
  #aborted: number;
  /** Open and aborted ones: where there is none, nobody looks for the oldest at each change. */
  #unqueued: number;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    const count = (where: string) =>
      this.#one<{ n: number }>(`SELECT COUNT(*) AS n FROM uploads WHERE ${where}`)?.n ?? 0;
    this.#openHere = count("state = 'open' AND origin = 'queue'");
    this.#aborted = count("state = 'aborted'");
    this.#unqueued = count("state <> 'queued'");
    this.#heldBytes =
      this.#one<{ bytes: number | null }>(
        `SELECT SUM(size) AS bytes FROM upload_parts
         WHERE payload_id IS NOT NULL AND upload_id IN (SELECT upload_id FROM uploads WHERE state = 'open')`,
      )?.bytes ?? 0;
  }

  /** What open uploads hold: each that was begun here takes the place of an operation. */
  get held(): { operations: number; bytes: number } {
    return { operations: this.#openHere, bytes: this.#heldBytes };
  }

  get(uploadId: string, key: string): UploadRow | null {
    return this.#one<UploadRow>("SELECT * FROM uploads WHERE upload_id = ? AND key = ?", uploadId, key);
  }

  /** In order of their numbers. */
  parts(uploadId: string): PartRow[] {
    return this.#all<PartRow>("SELECT * FROM upload_parts WHERE upload_id = ? ORDER BY part_number", uploadId);
  }

  part(uploadId: string, partNumber: number): PartRow | null {
    return this.#one<PartRow>(
      "SELECT * FROM upload_parts WHERE upload_id = ? AND part_number = ?",
      uploadId,
      partNumber,
    );
  }

  // ── open ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** An id that is known already stays what it is. */
  open(upload: NewUpload): void {
    const { upload_id, key, origin, r2_upload_id, metadata, key_id, created_at } = upload;
    const isNew = this.#all(
      `INSERT OR IGNORE INTO uploads (upload_id, key, origin, state, r2_upload_id, metadata, key_id, created_at)
       VALUES (?, ?, ?, 'open', ?, ?, ?, ?) RETURNING 1`,
      upload_id,
      key,
      origin,
      r2_upload_id,
      metadata,
      key_id,
      created_at,
    );
    if (isNew.length === 0) return;
    this.#unqueued += 1;
    if (origin === "queue") this.#openHere += 1;
  }

  /** The last one of a number counts. Returns the payload whose place it takes. */
  putPart(part: PartRow): Payload[] {
    const replaced = this.removePart(part.upload_id, part.part_number);
    this.#sql.exec(
      `INSERT INTO upload_parts (upload_id, part_number, etag, size, md5, payload_id, key_id, r2_etag)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      part.upload_id,
      part.part_number,
      part.etag,
      part.size,
      part.md5,
      part.payload_id,
      part.key_id,
      part.r2_etag,
    );
    if (part.payload_id !== null) this.#heldBytes += part.size ?? 0;
    return replaced;
  }

  /** Of an open upload. Returns its payload, if it has one here. */
  removePart(uploadId: string, partNumber: number): Payload[] {
    const payloads = payloadsOf(
      this.#all<PartRow>(
        "DELETE FROM upload_parts WHERE upload_id = ? AND part_number = ? RETURNING *",
        uploadId,
        partNumber,
      ),
    );
    for (const { size } of payloads) this.#heldBytes -= size;
    return payloads;
  }

  /** R2 is about to be told to complete it, if it is known here. */
  completing(uploadId: string, at: number): void {
    this.#sql.exec(
      "UPDATE uploads SET completing_from = ? WHERE upload_id = ? AND completing_from IS NULL",
      at,
      uploadId,
    );
  }

  // ── queued ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The completion is an operation: from here on its bytes are the operation's. */
  queue(upload: UploadRow): void {
    this.#leaveOpen(upload);
    this.#unqueued -= 1;
    this.#sql.exec("UPDATE uploads SET state = 'queued' WHERE upload_id = ?", upload.upload_id);
  }

  /** The upload in R2 to which the parts are sent. */
  startInR2(uploadId: string, r2UploadId: string): void {
    this.#sql.exec("UPDATE uploads SET r2_upload_id = ? WHERE upload_id = ?", r2UploadId, uploadId);
  }

  sent(part: PartRow, r2Etag: string): void {
    this.#sql.exec(
      "UPDATE upload_parts SET r2_etag = ? WHERE upload_id = ? AND part_number = ?",
      r2Etag,
      part.upload_id,
      part.part_number,
    );
  }

  /** Every part that is here is sent again. */
  unsend(uploadId: string): void {
    this.#sql.exec("UPDATE upload_parts SET r2_etag = NULL WHERE upload_id = ? AND payload_id IS NOT NULL", uploadId);
  }

  /** R2 has lost the upload: another one is begun. */
  startAnew(uploadId: string): void {
    this.unsend(uploadId);
    this.#sql.exec("UPDATE uploads SET r2_upload_id = NULL WHERE upload_id = ?", uploadId);
  }

  // ── gone ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Forgets an upload and its parts. Returns their payloads. */
  remove(upload: UploadRow): Payload[] {
    // Whoever has awaited meanwhile may not be the first.
    const current = this.get(upload.upload_id, upload.key);
    if (current === null) return [];
    const payloads = this.#removeParts(current);
    this.#sql.exec("DELETE FROM uploads WHERE upload_id = ?", current.upload_id);
    if (current.state !== "queued") this.#unqueued -= 1;
    if (current.state === "aborted") this.#aborted -= 1;
    return payloads;
  }

  /** Forgets its parts, and keeps in mind that R2 must be told. Returns their payloads. */
  abort(upload: UploadRow, abortAt: number): Payload[] {
    const payloads = this.#removeParts(upload);
    this.#sql.exec(
      "UPDATE uploads SET state = 'aborted', metadata = '', key_id = NULL, abort_at = ? WHERE upload_id = ?",
      abortAt,
      upload.upload_id,
    );
    if (upload.state === "queued") this.#unqueued += 1;
    if (upload.state !== "aborted") this.#aborted += 1;
    return payloads;
  }

  /** Keeps in mind the abort of an upload of which nothing else is known. */
  openAborted(uploadId: string, key: string, abortAt: number): void {
    const isNew = this.#all(
      `INSERT OR IGNORE INTO uploads (upload_id, key, origin, state, r2_upload_id, metadata, created_at, abort_at)
       VALUES (?, ?, 'r2', 'aborted', ?, '', ?, ?) RETURNING 1`,
      uploadId,
      key,
      uploadId,
      Date.now(),
      abortAt,
    );
    this.#unqueued += isNew.length;
    this.#aborted += isNew.length;
  }

  /** Those of which R2 is to be told. */
  get aborted(): number {
    return this.#aborted;
  }

  /** An abort of which R2 is to be told now. */
  dueAbort(now: number): UploadRow | null {
    if (this.#aborted === 0) return null;
    return this.#one<UploadRow>(
      "SELECT * FROM uploads WHERE state = 'aborted' AND abort_at <= ? ORDER BY abort_at LIMIT 1",
      now,
    );
  }

  /** When R2 is to be told of the next one. */
  nextAbort(): number | null {
    if (this.#aborted === 0) return null;
    return (
      this.#one<{ at: number }>("SELECT abort_at AS at FROM uploads WHERE state = 'aborted' ORDER BY abort_at LIMIT 1")
        ?.at ?? null
    );
  }

  putOffAbort(uploadId: string, at: number): void {
    this.#sql.exec(
      "UPDATE uploads SET abort_at = ?, abort_tries = abort_tries + 1 WHERE upload_id = ? AND state = 'aborted'",
      at,
      uploadId,
    );
  }

  /** The oldest upload that nobody has completed. */
  oldest(): UploadRow | null {
    if (this.#unqueued === 0) return null;
    return this.#one<UploadRow>("SELECT * FROM uploads WHERE state <> 'queued' ORDER BY created_at LIMIT 1");
  }

  #removeParts(upload: UploadRow): Payload[] {
    this.#leaveOpen(upload);
    return payloadsOf(this.#all<PartRow>("DELETE FROM upload_parts WHERE upload_id = ? RETURNING *", upload.upload_id));
  }

  #leaveOpen(upload: UploadRow): void {
    if (upload.state !== "open") return;
    if (upload.origin === "queue") this.#openHere -= 1;
    for (const { size } of payloadsOf(this.parts(upload.upload_id))) this.#heldBytes -= size;
  }

  #all<Row>(query: string, ...bindings: SqlStorageValue[]): Row[] {
    return this.#sql.exec(query, ...bindings).toArray() as Row[];
  }

  #one<Row>(query: string, ...bindings: SqlStorageValue[]): Row | null {
    return (this.#all<Row>(query, ...bindings)[0] ?? null) as Row | null;
  }
}

function payloadsOf(parts: readonly PartRow[]): Payload[] {
  return parts.flatMap(({ payload_id: id, size }) => (id === null ? [] : [{ id, size: size ?? 0 }]));
}
