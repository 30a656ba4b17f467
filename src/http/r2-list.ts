import { FailoverBucket } from "../bucket/failover-bucket";
import { FailoverError } from "../shared/errors";
import type { ObjectListRecord, ObjectRecord } from "../shared/records";
import { type Call, json } from "./call";
import { decodePart, flag, wholeNumber } from "./input";
import { serviceOfQuery } from "./objects";
import { requireReach } from "./user-scope";

export const LIST_LIMIT = { otherwise: 1_000, minimum: 1, maximum: 1_000 };

export const INCLUDES: ReadonlyMap<string, "httpMetadata" | "customMetadata"> = new Map([
  ["http_metadata", "httpMetadata"],
  ["custom_metadata", "customMetadata"],
]);

/** `GET /r2/`: objects and delimited prefixes, page by page. */
export async function listObjects(call: Call): Promise<Response> {
  const options = listOptions(call.url);
  requireReach(call, options.prefix ?? "");
  const bucket = new FailoverBucket(call.env, { service: await serviceOfQuery(call) });
  const { source, result } = await bucket.browse(options);
  const record: ObjectListRecord = {
    objects: result.objects.map(objectRecord),
    delimited_prefixes: result.delimitedPrefixes,
    truncated: result.truncated,
    cursor: result.truncated ? result.cursor : null,
    partial: result.partial === true,
  };
  return json(record, { headers: { "x-failover-source": source } });
}

/** What the query says, in R2's terms. Throws `INVALID_REQUEST` with the parameter's name. */
export function listOptions(url: URL): R2ListOptions & { readonly allowPartial: boolean } {
  // URLSearchParams takes a broken escape for text: a list of other keys than were meant.
  decodePart(url.search, "query");
  const query = url.searchParams;
  const [prefix, delimiter, cursor, startAfter] = ["prefix", "delimiter", "cursor", "start_after"].map(
    (name) => query.get(name) ?? "",
  );
  const include = (query.get("include") ?? "").split(",").filter((name) => name !== "");
  return {
    limit: wholeNumber(query.get("limit"), "limit", LIST_LIMIT),
    ...(prefix && { prefix }),
    ...(delimiter && { delimiter }),
    ...(cursor && { cursor }),
    ...(startAfter && { startAfter }),
    include: include.map(includeOf),
    allowPartial: flag(query.get("allow_partial"), "allow_partial"),
  };
}

function includeOf(name: string): "httpMetadata" | "customMetadata" {
  const found = INCLUDES.get(name);
  if (found !== undefined) return found;
  throw new FailoverError("INVALID_REQUEST", `include must be a list out of ${[...INCLUDES.keys()].join(",")}.`);
}

/** Values that are not there are left out of the JSON. */
function objectRecord({ key, size, etag, uploaded, httpMetadata, customMetadata }: R2Object): ObjectRecord {
  const { contentType, contentLanguage, contentDisposition, contentEncoding, cacheControl, cacheExpiry } =
    httpMetadata ?? {};
  return {
    key,
    size,
    etag,
    uploaded: uploaded.toISOString(),
    http_metadata: {
      content_type: contentType,
      content_language: contentLanguage,
      content_disposition: contentDisposition,
      content_encoding: contentEncoding,
      cache_control: cacheControl,
      cache_expiry: cacheExpiry?.toISOString(),
    },
    custom_metadata: customMetadata ?? {},
  };
}
