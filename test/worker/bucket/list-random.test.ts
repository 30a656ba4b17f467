/**
 * Random lists against local R2: one part of the bucket and a queue, beside another part that holds what both come to.
 * Between pages writes are drained, and objects are written anew through the queue.
 */
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { drainAll, pend, tell, walk } from "./list-support";
import { newWorld, type World } from "./world";

type Fate = "stored" | "put" | "overwritten" | "deleted" | "newer";

interface Case {
  readonly fates: readonly (readonly [string, Fate])[];
  readonly options: R2ListOptions & { readonly prefix: string };
  readonly between: readonly ("nothing" | "drain" | "overwrite" | "strong")[];
  readonly rangeLimit: number;
}

const key = fc.string({
  unit: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom("a", "b", "/") },
    { weight: 1, arbitrary: fc.constantFrom("é", "\uffff", "💾", "\u{10ffff}", "-") },
  ),
  minLength: 1,
  maxLength: 5,
});

const cases: fc.Arbitrary<Case> = fc.record({
  fates: fc.uniqueArray(
    fc.tuple(key, fc.constantFrom<Fate>("stored", "put", "overwritten", "deleted", "deleted", "newer")),
    { selector: ([name]) => name, maxLength: 14, size: "max" },
  ),
  options: fc.record(
    {
      prefix: fc.constantFrom("", "a", "a/", "b/a", "é"),
      delimiter: fc.constantFrom("", "/", "-", "a/"),
      startAfter: key,
      limit: fc.integer({ min: 1, max: 6 }),
      include: fc.subarray(["httpMetadata", "customMetadata"] as const).map((names) => [...names]),
    },
    { requiredKeys: ["prefix"] },
  ),
  between: fc.array(fc.constantFrom("nothing", "drain", "overwrite", "strong"), { minLength: 1, maxLength: 6 }),
  rangeLimit: fc.constantFrom(1, 2, 1_000),
});

const metadata = { httpMetadata: { contentType: "text/x" }, customMetadata: { a: "1" } };
const PUT = { ...metadata, checksum: null, storageClass: null, ssecKey: null };

let world: World;
let runs = 0;

beforeAll(() => {
  world = newWorld();
});

async function prepare(root: string, { fates }: Case): Promise<void> {
  world.pending.clear();
  const [ours, twin] = [`${root}ours/`, `${root}twin/`];
  const work: Promise<unknown>[] = [];
  for (const [name, fate] of fates) {
    const old = (of: string) => env.R2_BUCKET.put(`${of}${name}`, `old ${name}`, metadata);
    const next = (of: string) => env.R2_BUCKET.put(`${of}${name}`, `next ${name}`, metadata);
    if (fate !== "put") work.push(old(ours));
    if (fate === "stored") work.push(old(twin));
    else if (fate !== "deleted") work.push(next(twin));
  }
  await Promise.all(work);
  for (const [name, fate] of fates) {
    if (fate === "put" || fate === "overwritten") await pend(world, `${ours}${name}`, `next ${name}`, PUT);
    if (fate === "deleted" || fate === "newer") await pend(world, `${ours}${name}`, null);
  }
  const newer = fates.filter(([, fate]) => fate === "newer");
  if (newer.length > 0) await new Promise((resolve) => setTimeout(resolve, 4));
  for (const [name] of newer) await env.R2_BUCKET.put(`${ours}${name}`, `next ${name}`, metadata);
  await tell(world);
}

/** A step that changes nothing of what is listed. */
async function step(root: string, { fates }: Case, what: Case["between"][number]): Promise<void> {
  switch (what) {
    case "nothing":
    case "strong":
      return;
    case "drain": {
      for (const [name, fate] of fates) if (fate === "newer") world.pending.delete(`${root}ours/${name}`);
      await drainAll(world);
      return tell(world);
    }
    case "overwrite":
      for (const [name, fate] of fates) {
        if (fate !== "stored" || world.pending.has(`${root}ours/${name}`)) continue;
        await pend(world, `${root}ours/${name}`, `old ${name}`, PUT);
      }
      return tell(world);
  }
}

const pageOf = (root: string, { objects, delimitedPrefixes }: R2Objects) => ({
  objects: objects.map((object) => [
    object.key.slice(root.length),
    object.etag,
    object.size,
    object.httpMetadata,
    object.customMetadata,
  ]),
  delimitedPrefixes: delimitedPrefixes.map((prefix) => prefix.slice(root.length)),
});

function below(root: string, { prefix, startAfter, ...options }: Case["options"]): R2ListOptions {
  return {
    ...options,
    prefix: `${root}${prefix}`,
    ...(startAfter !== undefined && { startAfter: `${root}${startAfter}` }),
  };
}

test("every page is the one that R2 would give of what both come to", { timeout: 240_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(cases, async (of) => {
      runs += 1;
      const root = `run-${runs}/`;
      await prepare(root, of);
      world.rangeLimit = of.rangeLimit;
      const native = await walk((cursor) =>
        env.R2_BUCKET.list({ ...below(`${root}twin/`, of.options), ...(cursor !== undefined && { cursor }) }),
      );
      let page = 0;
      const ours = await walk(async (cursor) => {
        const what = of.between[page % of.between.length] ?? "nothing";
        if (page > 0) await step(root, of, what);
        page += 1;
        const bucket = world.bucket({ consistency: what === "strong" ? "strong" : "bounded" });
        return bucket.list({ ...below(`${root}ours/`, of.options), ...(cursor !== undefined && { cursor }) });
      });
      expect(ours.map((each) => pageOf(`${root}ours/`, each))).toEqual(
        native.map((each) => pageOf(`${root}twin/`, each)),
      );
    }),
    { numRuns: 120, interruptAfterTimeLimit: 180_000 },
  );
});
