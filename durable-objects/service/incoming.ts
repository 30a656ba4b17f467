/** What comes in by RPC from isolates and shards, parsed once: a number gone wrong must not get into a circuit. Pure. */
import * as z from "zod";
import { LATENCY_BOUNDS_MS } from "../../src/shared/latency";
import {
  BUCKET_METHODS,
  type CalmNotice,
  type DrainRequest,
  type IsolateReport,
  type ShardNotice,
} from "../../src/shared/protocol";
import { eventFields } from "../shared/event-intake";
import type { NewEvent } from "./service-store";

const count = z.int().min(0);
const shard = z.int().min(0).max(63);
const name = z.string().min(1).max(128);

const classCounts = z.object({
  success: count,
  failure: count,
  throttled: count,
  ignored: count,
  consecutiveFailures: count,
  latency: z.array(count).max(LATENCY_BOUNDS_MS.length + 1),
});
const state = z.enum(["CLOSED", "OPEN", "HALF_OPEN", "FORCED_OPEN", "FORCED_CLOSED", "METRICS_ONLY"]);

const report = z.object({
  reporter: name,
  counts: z.object({ read: classCounts, write: classCounts }),
  circuits: z.object({ read: state, write: state }),
  bucketCalls: z.partialRecord(z.enum(BUCKET_METHODS), count),
  rejected: z.object({ read: count, write: count }),
  failedReports: count,
  failovers: z.object({ queuedWrites: count, queuedReads: count, cachedReads: count }).optional(),
});

const usage = z.object({
  pending: count,
  processing: count,
  failed: count,
  bytes: count,
  oldestAt: z.number().nullable(),
  completed: count,
  cancelled: count,
  superseded: count,
  accepted: count.exactOptional(),
  swept: count.exactOptional(),
});

const busy = z.union([z.literal("all"), z.array(z.int().min(0)).max(1_024)]);
const notice = z.object({
  shard,
  epoch: count,
  busy,
  usage,
  wanted: z.object({ operations: z.number().min(0), bytes: z.number().min(0) }),
});
const calm = z.object({ shard, epoch: count, usage });
const drain = z.object({ shard, report, usage, ready: count });

const event = z.object({ id: name, ...eventFields });

/** These throw on what does not fit; fields of a newer release are left out. */
export const parseReport = (value: unknown): IsolateReport => report.parse(value) as IsolateReport;
export const parseNotice = (value: unknown): ShardNotice => notice.parse(value);
export const parseCalm = (value: unknown): CalmNotice => calm.parse(value);
export const parseDrain = (value: unknown): DrainRequest => drain.parse(value) as DrainRequest;
export const parseEvent = (value: unknown): NewEvent => event.parse(value);
