import { serviceStub, systemStub } from "../bucket/stubs";
import { FailoverError } from "../shared/errors";
import { publicEvent } from "../shared/public-view";
import type { EventPage } from "../shared/rpc";
import { canResume, formatSince, parseSince, type Since } from "../shared/since";
import { type Call, json, seesDetails } from "./call";
import { wholeNumber } from "./input";
import { ask, requireService } from "./objects";

export const EVENTS_LIMIT = { otherwise: 100, minimum: 1, maximum: 1_000 };

/**
 * `GET /health/events`: the first `limit` events after `since`, without it the latest; newest first. With `service` out of
 * that service's own sequence, else out of the system feed. `reset`: nothing could be continued at `since`.
 */
export async function events(call: Call): Promise<Response> {
  const { searchParams } = call.url;
  const limit = wholeNumber(searchParams.get("limit"), "limit", EVENTS_LIMIT);
  const since = sinceOf(searchParams.get("since"));
  const service = searchParams.get("service");
  const read = service === null ? feedOf(call) : await sequenceOf(call, service);
  let page = await read(since?.seq ?? null, limit);
  const isReset = since !== null && !canResume(since, { epoch: page.storageId, ...page });
  if (isReset) page = await read(null, limit);
  const seq = page.events.at(-1)?.seq ?? (since === null || isReset ? page.head : since.seq);
  const newestFirst = page.events.toReversed();
  return json({
    events: seesDetails(call) ? newestFirst : newestFirst.map(publicEvent),
    next_since: formatSince({ epoch: page.storageId, seq }),
    reset: isReset,
  });
}

type ReadPage = (since: number | null, limit: number) => Promise<EventPage>;

function feedOf({ env }: Call): ReadPage {
  return (since, limit) => ask("The event feed", () => systemStub(env).events(since, limit));
}

async function sequenceOf({ env }: Call, named: string): Promise<ReadPage> {
  const service = await requireService(env, named);
  return (since, limit) => ask("The service's monitor", () => serviceStub(env, service).events(since, limit));
}

/** Throws `INVALID_REQUEST`. */
export function sinceOf(text: string | null): Since | null {
  if (text === null || text === "") return null;
  const since = parseSince(text);
  if (since === null) throw new FailoverError("INVALID_REQUEST", "since must be the next_since of an earlier answer.");
  return since;
}
