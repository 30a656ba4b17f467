/** All that is queued, as one file: for when R2 stays down. */
import { queueStub } from "../bucket/stubs";
import { FailoverError } from "../shared/errors";
import type { ExportCut } from "../shared/protocol";
import type { QueueRpc } from "../shared/rpc";
import { TAR_END, tarHead, tarPadding } from "../shared/tar";
import type { Call } from "./call";
import { flag } from "./input";
import { errorFields, log } from "./log";
import { askOrNull, PROBE_DEADLINE_MS, serviceOfQuery, shardsOf } from "./objects";
import { recordAction } from "./record-action";

interface Part {
  readonly shard: QueueRpc;
  readonly cut: ExportCut;
}

/**
 * `GET /health/queue/export`: a tar stream of `manifest.jsonl`, then `payloads/<operation id>`. What has ended meanwhile
 * or cannot be read has `problems/<operation id>` instead. A stream that breaks lacks the end of the archive, so that
 * no reader takes it for whole.
 */
export async function exportQueue(call: Call): Promise<Response> {
  const allowsPartial = flag(call.url.searchParams.get("allow_partial"), "allow_partial");
  const service = await serviceOfQuery(call);
  const count = await shardsOf(call.env, service);
  const shards = Array.from({ length: count }, (_, index) => queueStub(call.env, service, index));
  const cuts = await Promise.all(
    shards.map((shard) => askOrNull("A part of the queue", () => shard.exportCut(), PROBE_DEADLINE_MS)),
  );
  const unreachable = cuts.flatMap((cut, index) => (cut === null ? [index] : []));
  if (unreachable.length > 0 && !allowsPartial) {
    throw new FailoverError(
      "SERVICE_UNAVAILABLE",
      `The parts ${unreachable.join(", ")} of the queue do not answer. allow_partial=true exports the others.`,
    );
  }
  const parts = shards.flatMap((shard, index) => {
    const cut = cuts[index];
    return cut == null ? [] : [{ shard, cut }];
  });
  const operations = parts.reduce((sum, { cut }) => sum + cut.operations, 0);
  await recordAction(call, service, "QUEUE_EXPORTED", { operations, unreachable_shards: unreachable });
  const { readable, writable } = new IdentityTransformStream();
  void writeArchive(parts, writable).catch(async (error: unknown) => {
    log("error", "export_broke_off", { request_id: call.requestId, ...errorFields(error) });
    await writable.abort(error).catch(() => undefined);
  });
  return new Response(readable, {
    headers: {
      "content-type": "application/x-tar",
      "content-disposition": `attachment; filename="${service.replace(/[^\w.-]/g, "_")}-queue.tar"`,
      "cache-control": "no-store",
      ...(unreachable.length === 0 ? {} : { "x-failover-unreachable-shards": unreachable.join(",") }),
    },
  });
}

async function writeArchive(parts: readonly Part[], into: WritableStream<Uint8Array>): Promise<void> {
  const size = parts.reduce((sum, { cut }) => sum + cut.manifestBytes, 0);
  await write(into, tarHead("manifest.jsonl", size, Date.now()));
  for (const { shard, cut } of parts) await pipe(await shard.exportManifest(cut), into);
  await write(into, tarPadding(size));
  for (const { shard, cut } of parts) await pipe(await shard.exportPayloads(cut), into);
  await write(into, TAR_END.slice());
  await into.close();
}

async function pipe(from: ReadableStream<Uint8Array>, into: WritableStream<Uint8Array>): Promise<void> {
  await from.pipeTo(into, { preventClose: true, preventAbort: true });
}

async function write(into: WritableStream<Uint8Array>, bytes: Uint8Array): Promise<void> {
  if (bytes.byteLength === 0) return;
  const writer = into.getWriter();
  try {
    await writer.write(bytes);
  } finally {
    writer.releaseLock();
  }
}
