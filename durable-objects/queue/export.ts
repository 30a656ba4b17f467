/**
 * Everything that a shard holds, as parts of one tar archive. A manifest's length stands before it, so that the archive
 * is made in passes over the same operations, a page at a time: those that were live at one moment, told later by their
 * id and by when they ended. What is said of each does not change its length; what has ended since has no payload.
 */
import type { ExportCut } from "../../src/shared/protocol";
import { tarFile, tarHead, tarPadding } from "../../src/shared/tar";
import { openMetadata } from "./metadata";
import type { OperationRow } from "./operation-row";
import { payloadStream } from "./payload-reader";
import { CHUNK_BYTES } from "./payload-store";
import { piecesOf } from "./pieces";
import type { Shard } from "./shard";

const PAGE = 100;
/** The longest status: a line stays as long whatever becomes of its operation. */
const STATUS_CHARS = "PROCESSING".length;

const encoder = new TextEncoder();

export async function takeCut(shard: Shard, now: number): Promise<ExportCut> {
  const cut = { lastId: shard.store.lastId(), at: now, operations: 0, manifestBytes: 0 };
  for (const row of rowsOf(shard, cut)) {
    cut.operations += 1;
    cut.manifestBytes += (await manifestLine(shard, row)).byteLength;
  }
  return cut;
}

/** One line an operation. Breaks when it does not come to the length that was promised. */
export function manifestStream(shard: Shard, cut: ExportCut): ReadableStream<Uint8Array> {
  return byteStream(manifest(shard, cut));
}

/** The payloads as files of a tar archive, without the archive's end. */
export function payloadsStream(shard: Shard, cut: ExportCut): ReadableStream<Uint8Array> {
  return byteStream(payloads(shard, cut));
}

async function* manifest(shard: Shard, cut: ExportCut): AsyncGenerator<Uint8Array> {
  let left = cut.manifestBytes;
  for (const row of rowsOf(shard, cut)) {
    const line = await manifestLine(shard, row);
    left -= line.byteLength;
    if (left < 0) break;
    yield line;
  }
  if (left !== 0) throw new Error("The manifest is not as long as it was when the export began.");
}

async function* payloads(shard: Shard, cut: ExportCut): AsyncGenerator<Uint8Array> {
  for (const row of rowsOf(shard, cut)) if (row.operation_type !== "DELETE") yield* payloadFile(shard, row);
}

/** A payload that cannot be given keeps no other from being given: `problems/<operation id>` says why. */
async function* payloadFile(shard: Shard, { id, operation_id: operationId }: OperationRow): AsyncGenerator<Uint8Array> {
  // Later than its page was read: it may have ended meanwhile.
  const row = shard.store.byOperationId(operationId);
  const problem = (text: string) => tarFile(`problems/${operationId}`, `${text}\n`, Date.now());
  if (row === null || row.id !== id || row.phase === "final") {
    yield problem(`No payload: the operation has ended meanwhile (${row?.status ?? "gone"}).`);
    return;
  }
  const pieces = piecesOf(shard, row);
  if (pieces === null) {
    yield problem("No payload: parts of it lie in R2, in a multipart upload that is not complete.");
    return;
  }
  const reader = payloadStream(shard, pieces, 0, row.size).getReader();
  let given = 0;
  try {
    // Read before it is announced: what cannot be opened at all gets no file.
    let next = await reader.read();
    yield tarHead(`payloads/${operationId}`, row.size, row.created_at);
    try {
      while (!next.done) {
        given += next.value.byteLength;
        yield next.value;
        next = await reader.read();
      }
    } catch (error) {
      // The file's length has been said: the rest is zeros, and marked.
      const unreadable = given;
      for (; given < row.size; given += CHUNK_BYTES) yield new Uint8Array(Math.min(CHUNK_BYTES, row.size - given));
      yield* some(tarPadding(row.size));
      yield problem(`From byte ${unreadable} on the payload is unreadable, and filled with zeros: ${said(error)}`);
      return;
    }
    yield* some(tarPadding(row.size));
  } catch (error) {
    yield problem(`No payload: it is unreadable. ${said(error)}`);
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A byte stream takes no empty chunks. */
function* some(bytes: Uint8Array): Iterable<Uint8Array> {
  if (bytes.byteLength > 0) yield bytes;
}

/** Page by page: a cursor must not be held over an await. */
function* rowsOf(shard: Shard, { lastId, at }: Pick<ExportCut, "lastId" | "at">): Iterable<OperationRow> {
  for (let after = 0; ; ) {
    const page = shard.store.liveAt(at, after, lastId, PAGE);
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return;
    after = last.id;
  }
}

async function manifestLine(shard: Shard, row: OperationRow): Promise<Uint8Array> {
  const line = JSON.stringify({
    operation_id: row.operation_id,
    operation_type: row.operation_type,
    service_name: shard.service,
    key: row.key,
    priority: row.priority,
    user_id: row.user_id,
    file_id: row.file_id,
    size: row.size,
    etag: row.etag === "" ? null : row.etag,
    created_at: new Date(row.created_at).toISOString(),
    ...(await metadataOf(shard, row)),
    status: row.status,
  });
  return encoder.encode(`${line}${" ".repeat(STATUS_CHARS - row.status.length)}\n`);
}

/** What a put needs besides its bytes. A customer's key is not given out. */
async function metadataOf(shard: Shard, row: OperationRow): Promise<Record<string, unknown>> {
  try {
    const metadata = await openMetadata(shard.cipher, row);
    if (metadata === null) return {};
    const { httpMetadata, customMetadata, storageClass, ssecKey } = metadata;
    return {
      http_metadata: httpMetadata,
      custom_metadata: customMetadata,
      storage_class: storageClass,
      has_customer_key: ssecKey !== null,
    };
  } catch (error) {
    return { metadata_problem: said(error) };
  }
}

function byteStream(chunks: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    type: "bytes",
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done !== true) {
        controller.enqueue(value);
        return;
      }
      controller.close();
      // A reader that brought its own buffer waits for an answer to it.
      (controller as ReadableByteStreamController).byobRequest?.respond(0);
    },
    async cancel() {
      await chunks.return(undefined);
    },
  });
}
