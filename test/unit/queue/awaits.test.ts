/** Each await of enqueue, ask, claim, apply and complete has a name, and a test that dies there. */
import { describe, expect, it, test } from "vitest";
import abortInR2 from "../../../durable-objects/queue/abort-in-r2.ts?raw";
import apply from "../../../durable-objects/queue/apply.ts?raw";
import applyMultipart from "../../../durable-objects/queue/apply-multipart.ts?raw";
import ask from "../../../durable-objects/queue/ask.ts?raw";
import claim from "../../../durable-objects/queue/claim.ts?raw";
import complete from "../../../durable-objects/queue/complete.ts?raw";
import completeUpload from "../../../durable-objects/queue/complete-upload.ts?raw";
import condition from "../../../durable-objects/queue/condition.ts?raw";
import drain from "../../../durable-objects/queue/drain.ts?raw";
import enqueue from "../../../durable-objects/queue/enqueue.ts?raw";
import openUpload from "../../../durable-objects/queue/open-upload.ts?raw";
import receive from "../../../durable-objects/queue/receive.ts?raw";
import receivePart from "../../../durable-objects/queue/receive-part.ts?raw";
import { STEPS } from "../../../durable-objects/queue/steps";
import { CRASHES, MULTIPART_CRASHES } from "../../worker/queue/crash-table";

const UPLOADS = { openUpload, receivePart, completeUpload, applyMultipart, abortInR2 };
const SOURCES = { enqueue, receive, ask, condition, claim, apply, complete, drain, ...UPLOADS };

const withoutComments = (source: string) => source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");

/** Functions and methods that a source defines: what is awaited inside them is looked at by itself. */
function definedIn(source: string): string[] {
  const functions = [...source.matchAll(/\bfunction\*?\s+(\w+)/g)];
  const methods = [...source.matchAll(/^ {2}(?:async )?(#?\w+)\([^\n]*\{$/gm)];
  return [...functions, ...methods].map((match) => match[1] ?? "");
}

interface Await {
  /** The name of its step; null: it has none. */
  readonly step: string | null;
  /** The function that is awaited; null: something else. */
  readonly callee: string | null;
  readonly text: string;
}

function awaitsOf(source: string): Await[] {
  return [...withoutComments(source).matchAll(/\bawait\b\s*(?=([\s\S]{0,120}))/g)].map((match) => {
    const text = match[1] ?? "";
    return {
      step: /^(?:this\.#)?shard\.steps\.at\(\s*"([\w.]+)"/.exec(text)?.[1] ?? null,
      callee: /^(?:this\.)?(#?\w+)\(/.exec(text)?.[1] ?? null,
      text: text.split("\n")[0] ?? "",
    };
  });
}

const defined = new Set(Object.values(SOURCES).flatMap((source) => definedIn(withoutComments(source))));
const awaits = Object.entries(SOURCES).flatMap(([file, source]) => awaitsOf(source).map((a) => ({ file, ...a })));

describe("the awaits of a shard", () => {
  it.each(awaits)("$file: await $text", ({ step, callee }) => {
    if (step === null) expect([...defined]).toContain(callee);
    else expect(STEPS).toContain(step);
  });

  it("are found at all", () => {
    expect(awaits.length).toBeGreaterThan(STEPS.length);
  });

  it("hide in no other form", () => {
    for (const source of Object.values(SOURCES)) expect(withoutComments(source)).not.toMatch(/for await|\bthenable\b/);
    // The one `then` starts what complete.ts ends, synchronously.
    const thens = Object.values(SOURCES).flatMap((source) => withoutComments(source).match(/\.then\(/g) ?? []);
    expect(thens).toHaveLength(1);
  });

  it("of claim and complete are none: each is one commit", () => {
    expect(awaitsOf(claim)).toEqual([]);
    expect(awaitsOf(complete)).toEqual([]);
  });
});

test.each(STEPS)("the step %s stands in the source, and a shard dies there", (step) => {
  expect(awaits.filter((a) => a.step === step)).not.toEqual([]);
  expect([...CRASHES, ...MULTIPART_CRASHES].filter((crash) => crash.step === step)).not.toEqual([]);
});

test.each([
  { rule: "an await of something else", source: "const x = await shard.bucket.head(key);", isNamed: false },
  { rule: "an await of a step that has no name", source: 'await shard.steps.at("apply.other", call);', isNamed: false },
  { rule: "an await of a function of another file", source: "await callR2(shard);", isNamed: false },
  { rule: "an await of a step", source: 'await shard.steps.at("apply.put", call);', isNamed: true },
  {
    rule: "an await of a step on the next line",
    source: 'await this.#shard.steps.at(\n  "apply.put",\n call);',
    isNamed: true,
  },
])("$rule is told apart", ({ source, isNamed }) => {
  const [found] = awaitsOf(source);
  const isStep = found?.step !== null && STEPS.some((step) => step === found?.step);
  expect(isStep || defined.has(found?.callee ?? "")).toBe(isNamed);
});
