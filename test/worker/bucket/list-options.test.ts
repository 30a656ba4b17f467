/** Options of a list, asked three ways: R2 itself, FailoverBucket in calm, and FailoverBucket while writes are queued. */
import { env } from "cloudflare:workers";
import { beforeAll, expect, test } from "vitest";
import { pend, tell } from "./list-support";
import { newWorld, type World } from "./world";

let world: World;

beforeAll(async () => {
  for (let at = 100; at < 220; at += 1) await env.R2_BUCKET.put(`k${at}`, "x");
  world = newWorld();
});

const refused = (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));

async function answer(bucket: R2Bucket, options: unknown) {
  try {
    const { objects, delimitedPrefixes, truncated } = await bucket.list(options as R2ListOptions);
    return { keys: objects.map(({ key }) => key), delimitedPrefixes, truncated };
  } catch (error) {
    return refused(error);
  }
}

const LIMITS = [0, 1, 1_000, 1_001, -1, -1.5, -2, -0.5, 1.5, 0.5, 1_000.9, Number.NaN, Number.POSITIVE_INFINITY];
const ODD_LIMITS = ["5", "x", "", " 3 ", "0x10", "1e2", null, true, {}, [3], 5n, Symbol("s"), () => 1];
const LARGE_LIMITS = [2 ** 31 - 1, 2 ** 31, 2_147_483_647.5, -(2 ** 31), -(2 ** 31) - 1, 2 ** 40];

const fields = (name: string, values: unknown[]) => values.map((value) => ({ [name]: value }));

test.each<{ name: string; options: unknown }>(
  [
    ...fields("limit", [...LIMITS, ...ODD_LIMITS, ...LARGE_LIMITS]),
    ...fields("prefix", ["", "k1", "none", null, 5, true, {}, new String("k"), "k\ud800"]),
    ...fields("delimiter", ["", "0", "k", "10", null, 5, {}]),
    ...fields("startAfter", ["", "k150", "a", "z", "\udc00", null, 5, {}]),
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
    ...[undefined, null, {}, [], () => 1, 5, "x", true, Symbol("s")],
  ].map((options) => ({ name: described(options), options })),
)("$name: as R2 says", async ({ options }) => {
  const raw = await answer(env.R2_BUCKET, options);
  expect(await answer(world.bucket(), options)).toEqual(raw);
  // Under a key of its own that R2 has too, so that nothing but the way differs.
  await pend(world, "k100", "x");
  await tell(world);
  expect(await answer(world.bucket(), options)).toEqual(raw);
  world.pending.clear();
  await tell(world);
});

function described(options: unknown): string {
  if (typeof options !== "object" || options === null) return String(options);
  return Object.entries(options)
    .map(([name, value]) => `${name} ${shown(value)}`)
    .join(", ");
}

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(shown).join()}]`;
  return `${typeof value} ${String(value)}`;
}
