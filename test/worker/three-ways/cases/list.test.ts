/** `list` with options of every kind. Half of what is listed is in R2, half was written and deleted since. */
import { anything, type Case, describeCases, describeDrain } from "../ways";

const keys = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => `k${from + at}`);
const metadata: R2PutOptions = {
  httpMetadata: { contentType: "text/plain", cacheExpiry: new Date("2030-01-01T00:00:00Z") },
  customMetadata: { a: "1", B: "ä" },
};

async function prepare(bucket: R2Bucket, r2: R2Bucket): Promise<void> {
  await Promise.all(keys(100, 170).map((key) => r2.put(key, "in R2 before", metadata)));
  await Promise.all(keys(150, 220).map((key) => bucket.put(key, `written as ${key}`, metadata)));
  await bucket.delete(["k105", "k160", "k219"]);
  // In R2's order the last comes before the one in the middle; in JavaScript's it does not.
  for (const key of ["u/\u{1F980}", "u/\uff5e", "u/a"]) await bucket.put(key, key);
}

const listed = (name: string, run: (bucket: R2Bucket) => Promise<unknown>): Case => ({ name, run, differs: "list" });

const LIMITS = [0, 1, 1_000, 1_001, -1, -1.5, -2, -0.5, 1.5, 0.5, 1_000.9, Number.NaN, Number.POSITIVE_INFINITY];
const ODD_LIMITS = ["5", "x", "", " 3 ", "0x10", "1e2", null, true, {}, [3], 5n, Symbol("s"), () => 1];
const LARGE_LIMITS = [2 ** 31 - 1, 2 ** 31, 2_147_483_647.5, -(2 ** 31), -(2 ** 31) - 1, 2 ** 40];

const fields = (name: string, values: unknown[]) => values.map((value) => ({ [name]: value }));

describeCases(
  "list with",
  [
    ...fields("limit", [...LIMITS, ...ODD_LIMITS, ...LARGE_LIMITS]),
    ...fields("prefix", ["", "k1", "none", "u/", "p".repeat(1_025), null, 5, true, {}, new String("k"), "k\ud800"]),
    ...fields("delimiter", ["", "0", "k", "10", "/", null, 5, {}]),
    ...fields("startAfter", ["", "k150", "a", "z", "k160", "s".repeat(1_025), "\udc00", null, 5, {}]),
    ...fields("cursor", ["", null, 5, {}]),
    ...fields("include", [[], ["httpMetadata"], ["customMetadata", "httpMetadata"], ["x"], null, "httpMetadata"]),
    ...fields("include", [[1], [undefined], [new String("httpMetadata")], {}, new Set(["httpMetadata"])]),
    { limit: 5n, prefix: 5 },
    { prefix: 5, cursor: 5, delimiter: 5 },
    { cursor: 5, delimiter: 5, startAfter: 5 },
    { delimiter: 5, startAfter: 5, include: 5 },
    { include: ["x"], startAfter: 5 },
    { include: ["x"], limit: 0 },
    { limit: 0, prefix: 5 },
    { prefix: "k1", delimiter: "5", startAfter: "k149", limit: 3 },
    { prefix: "k", delimiter: "6", limit: 12, include: ["customMetadata"] },
    ...[undefined, null, {}, [], () => 1, 5, "x", true, Symbol("s")],
  ].map((options) => listed(described(options), (bucket) => bucket.list(anything(options)))),
  prepare,
);

describeCases(
  "list page by page",
  [
    { limit: 7 },
    { limit: 1, prefix: "u/" },
    { limit: 50, include: ["httpMetadata" as const, "customMetadata" as const] },
    { limit: 3, delimiter: "0" },
    { limit: 2, prefix: "k1", delimiter: "5", startAfter: "k120" },
  ].map((options) =>
    listed(described(options), async (bucket) => {
      const pages: R2Objects[] = [];
      for (let cursor: string | undefined, isMore = true; isMore; ) {
        const page = await bucket.list({ ...options, ...(cursor !== undefined && { cursor }) });
        pages.push(page);
        isMore = page.truncated;
        cursor = page.truncated ? page.cursor : undefined;
      }
      return pages;
    }),
  ),
);

function described(options: unknown): string {
  if (typeof options !== "object" || options === null) return String(options);
  return Object.entries(options)
    .map(([name, value]) => `${name} ${shown(value)}`)
    .join(", ");
}

function shown(value: unknown): string {
  if (typeof value === "string") return value.length > 99 ? `of ${value.length} bytes` : JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(shown).join()}]`;
  return `${typeof value} ${String(value)}`;
}

describeDrain();
