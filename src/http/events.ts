import { serviceStub } from "../bucket/stubs";
import { FailoverError } from "../shared/errors";
import { type Call, json, seesDetails } from "./call";
import { wholeNumber } from "./input";
import { ask, serviceOfQuery } from "./objects";

const LIMIT = { otherwise: 100, minimum: 1, maximum: 1_000 };

/** `GET /health/events`: one service's events after `since`, without it the latest; newest first. Their data needs a token. */
export async function events(call: Call): Promise<Response> {
  const { searchParams } = call.url;
  const limit = wholeNumber(searchParams.get("limit"), "limit", LIMIT);
  const since = parseSince(searchParams.get("since"));
  const service = await serviceOfQuery(call);
  const object = serviceStub(call.env, service);
  let page = await ask("The service's monitor", () => object.events(since.seq, limit));
  // Another storage counts anew: a place in the old sequence means nothing in it.
  if (since.storageId !== null && since.storageId !== page.storageId) {
    page = await ask("The service's monitor", () => object.events(null, limit));
  }
  const seqs = page.events.map(({ seq }) => seq);
  const next = Math.max(since.storageId === page.storageId ? (since.seq ?? 0) : 0, ...seqs);
  const newestFirst = page.events.toReversed();
  return json({
    events: seesDetails(call) ? newestFirst : newestFirst.map((event) => ({ ...event, event_data: {} })),
    next_since: `${page.storageId}.${next}`,
  });
}

/** `<epoch>.<seq>`, as `next_since` gives it. Throws `INVALID_REQUEST`. */
function parseSince(text: string | null): { readonly storageId: string | null; readonly seq: number | null } {
  if (text === null || text === "") return { storageId: null, seq: null };
  const match = /^([A-Za-z0-9_-]{1,64})\.(\d{1,15})$/.exec(text);
  if (match === null) throw new FailoverError("INVALID_REQUEST", "since must be the next_since of an earlier answer.");
  return { storageId: match[1] ?? null, seq: Number(match[2]) };
}
