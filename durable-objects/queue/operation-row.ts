import type { ChecksumAlgorithm, OperationStatus, Stored } from "../../src/shared/protocol";
import type { OperationRecord } from "../../src/shared/records";

/** What the drain looks at; see the table's comment. */
export type Phase = "ready" | "waiting" | "claimed" | "parked" | "final";

/** A row of `operation_queue`. */
export interface OperationRow {
  readonly id: number;
  readonly operation_type: OperationRecord["operation_type"];
  readonly operation_id: string;
  readonly payload: string;
  readonly priority: number;
  readonly status: OperationStatus;
  readonly retry_count: number;
  readonly max_retries: number | null;
  readonly user_id: string | null;
  readonly file_id: string | null;
  readonly error_message: string | null;
  readonly created_at: number;
  readonly updated_at: number;
  readonly scheduled_at: number;
  readonly completed_at: number | null;
  readonly key: string;
  readonly phase: Phase;
  readonly score: number;
  readonly not_before: number;
  readonly fence_at: number;
  readonly first_call_at: number | null;
  readonly failure_count: number;
  readonly uncharged_at: number | null;
  readonly lease_token: string | null;
  readonly needs_epoch: number;
  readonly size: number;
  readonly held_bytes: number;
  readonly etag: string;
  readonly checksums: string;
  readonly fingerprint: string | null;
  readonly key_id: string | null;
  readonly upload_id: string | null;
}

/** What is told of an operation that is stored. */
export type StoredRow = Pick<
  OperationRow,
  "operation_id" | "status" | "key" | "size" | "etag" | "checksums" | "created_at"
>;

export function storedOf(row: StoredRow): Stored {
  return {
    operationId: row.operation_id,
    status: row.status,
    key: row.key,
    size: row.size,
    etag: row.etag,
    checksums: JSON.parse(row.checksums) as Partial<Record<ChecksumAlgorithm, string>>,
    enqueuedAt: row.created_at,
  };
}

const iso = (at: number) => new Date(at).toISOString();

export function recordOf(row: OperationRow, service: string, defaultMaxRetries: number): OperationRecord {
  return {
    operation_id: row.operation_id,
    operation_type: row.operation_type,
    service_name: service,
    key: row.key,
    status: row.status,
    priority: row.priority,
    user_id: row.user_id,
    file_id: row.file_id,
    retry_count: row.retry_count,
    max_retries: row.max_retries ?? defaultMaxRetries,
    size: row.size,
    etag: row.etag === "" ? null : row.etag,
    error_message: row.error_message,
    created_at: iso(row.created_at),
    scheduled_at: iso(row.scheduled_at),
    completed_at: row.completed_at === null ? null : iso(row.completed_at),
  };
}
