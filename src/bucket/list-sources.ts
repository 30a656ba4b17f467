/** What a list is made of: R2's pages and the shards' queued writes, and who is right where they differ. */
import { type FailoverError, isFailoverError } from "../shared/errors";
import type { PendingInReply } from "../shared/protocol";
import { within } from "../shared/within";
import { admit } from "./admission";
import { callR2 } from "./direct-call";
import { shardCount } from "./isolate-service";
import { isTrusted, takeShard } from "./isolate-state";
import { type ListRange, type PendingItem, pageOf, type R2Page } from "./list-merge";
import type { Included, ListQuery } from "./list-options";
import type { ListSources, PageStart } from "./list-walk";
import { mayBeLater } from "./own-writes";
import { PendingWalk } from "./pending-walk";
import { QueuedObject } from "./queued-object";
import { isOverwritten, PEEK_TIMEOUT_MS, peek, QUEUE_DOWN_MS } from "./read-path";
import { type Session, unavailable } from "./session";
import { queueStub } from "./stubs";

/** A shard is asked for so many at least: more of them cost less than a second call. */
const MIN_ITEMS = 100;
const MAX_ITEMS = 1_000;

const NO_PAGE: R2Page = { entries: [], until: null, cursor: null };

/** Rejects with R2's own errors on bad options, else with `SERVICE_UNAVAILABLE`. */
export async function listR2(session: Session, options: R2ListOptions | undefined): Promise<R2Objects> {
  const admission = admit(session.state, "read", Date.now());
  if (!admission.admitted) throw unlistable(admission.retryAfter);
  const { r2 } = session;
  const result = await callR2(session, { method: "list", permit: admission.permit, send: () => r2.list(options) });
  if (result.kind === "failed") throw unavailable("R2 did not answer the list.", undefined, result.cause);
  return result.value;
}

export function unlistable(retryAfter: number): FailoverError {
  return unavailable("R2 cannot be listed right now.", retryAfter);
}

/** One page of R2's from `start` on. */
export async function pageR2(
  session: Session,
  { prefix, delimiter, after }: ListRange,
  { cursor, startAfter }: PageStart,
  limit: number,
  include: Included,
): Promise<R2Page> {
  const options: R2ListOptions = { limit, prefix };
  if (delimiter !== "") options.delimiter = delimiter;
  if (cursor !== null) options.cursor = cursor;
  if (startAfter !== "") options.startAfter = startAfter;
  options.include = [
    ...(include.http ? (["httpMetadata"] as const) : []),
    ...(include.custom ? (["customMetadata"] as const) : []),
  ];
  return pageOf(await listR2(session, options), after);
}

/** The shards that may hold something: the busy ones, or all where that is not known well enough. */
export async function shardsToAsk({ env, service, state, isStrong }: Session): Promise<number[]> {
  const busy = [...state.shards.values()].filter((view) => view.busy !== null).map(({ shard }) => shard);
  const now = Date.now();
  if (!isStrong && (isTrusted(state, now) || (busy.length === 0 && now < state.queueDownUntil))) return busy;
  try {
    return Array.from({ length: await shardCount(env, service) }, (_, shard) => shard);
  } catch (error) {
    if (isStrong || busy.length > 0) throw error;
    return [];
  }
}

export function isUnavailable(error: unknown): boolean {
  return isFailoverError(error) && error.code === "SERVICE_UNAVAILABLE";
}

/** The sources of one list. */
export class SessionSources implements ListSources {
  readonly include: Included;
  readonly pending: PendingWalk;
  /** R2 could not be listed, and was left out. */
  isPartial = false;
  readonly #session: Session;
  readonly #allowsPartial: boolean;

  constructor(
    session: Session,
    { prefix, limit, include }: ListQuery,
    shards: readonly number[],
    allowsPartial: boolean,
  ) {
    const items = Math.min(Math.max(limit + 1, MIN_ITEMS), MAX_ITEMS);
    this.include = include;
    this.pending = new PendingWalk(shards, (shard, after) => askShard(session, shard, { prefix, after, limit: items }));
    this.#session = session;
    this.#allowsPartial = allowsPartial;
  }

  async page(range: ListRange, start: PageStart, limit: number): Promise<R2Page> {
    if (this.isPartial) return NO_PAGE;
    try {
      return await pageR2(this.#session, range, start, limit, this.include);
    } catch (error) {
      if (!this.#allowsPartial || !isUnavailable(error)) throw error;
      this.isPartial = true;
      return NO_PAGE;
    }
  }

  queued({ stored, metadata }: Pick<PendingItem, "stored" | "metadata">): R2Object | null {
    const { ownWrites } = this.#session.state;
    // Of a key that this isolate itself may have written since, R2 alone could tell.
    if (this.isPartial && mayBeLater(ownWrites, stored.key, stored.enqueuedAt, Date.now())) return null;
    if (metadata === null) return new QueuedObject(stored, null);
    return new QueuedObject(stored, {
      ...metadata,
      httpMetadata: this.include.http ? metadata.httpMetadata : {},
      customMetadata: this.include.custom ? metadata.customMetadata : {},
    });
  }

  async decide({ stored: { key } }: PendingItem): Promise<R2Object | null> {
    const { pending, ledger } = await peek(this.#session, key).catch((cause: unknown) => {
      throw queueIsSilent(cause);
    });
    if (pending !== null && !(await isOverwritten(this.#session, pending, ledger))) {
      return pending.kind === "delete" ? null : this.queued(pending);
    }
    // R2's page is from before this look, and may show what was overwritten since.
    const alone = { prefix: key, delimiter: "", after: "" };
    const [first] = (await this.page(alone, { cursor: null, startAfter: "" }, 1)).entries;
    return first?.kind === "object" && first.name === key ? first.object : null;
  }
}

async function askShard(
  { env, service, state, isStrong }: Session,
  shard: number,
  range: Parameters<ReturnType<typeof queueStub>["pendingIn"]>[0],
): Promise<PendingInReply | null> {
  const late = () => new Error(`no answer from the queue within ${PEEK_TIMEOUT_MS} ms`);
  try {
    const reply = await within(queueStub(env, service, shard).pendingIn(range), PEEK_TIMEOUT_MS, late);
    takeShard(state, reply.shard);
    state.queueDownUntil = 0;
    return reply;
  } catch (cause) {
    state.queueDownUntil = Date.now() + QUEUE_DOWN_MS;
    const isKnownBusy = (state.shards.get(shard)?.busy ?? null) !== null;
    if (isStrong || isKnownBusy) throw queueIsSilent(cause);
    return null;
  }
}

function queueIsSilent(cause: unknown) {
  return unavailable("There may be queued writes, and the queue does not answer.", undefined, cause);
}
