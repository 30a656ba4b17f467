/** The running Worker against its own description: each operation is called, and each answer is held to its schema. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type System, startSystem } from "../drill/system.ts";
import { type ApiCall, apiCalls, type Learned } from "./api-calls.ts";

interface DescribedResponse {
  readonly content?: Readonly<Record<string, { readonly schema: object }>>;
  readonly headers?: Readonly<Record<string, object>>;
}
interface Described {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, DescribedResponse>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
}

const TOKENS = { operator: "dev-admin", gateway: "dev-r2" };
const JSON_TYPE = /[/+]json$/;
/** What each operation may answer besides, with the same body everywhere. */
const COMMON = ["4XX", "503"];

let directory: string;
let system: System;
let text: string;
let document: Document;
let operations: readonly Described[];
let ajv: Ajv2020;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "r2-failover-api-"));
  system = await startSystem(directory);
  text = await (await fetch(`${system.url}/openapi.json`)).text();
  document = JSON.parse(text);
  operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema(document, "openapi.json");
});

afterAll(async () => {
  await system?.kill();
  await rm(directory, { recursive: true, force: true });
});

it("is described by a valid OpenAPI 3.1 document", async () => {
  const { valid, errors } = await new Validator().validate(JSON.parse(text));
  expect(errors).toBeUndefined();
  expect(valid).toBe(true);
});

describe("every documented operation", () => {
  const answered = new Set<string>();

  it("answers as it is described", async () => {
    let learned: Learned = { etag: "", operation: "", uploadId: "", since: "" };
    const failures: string[] = [];
    for (const next of apiCalls(() => learned)) {
      const call = next();
      const answer = call.status === 101 ? await connect(call) : await send(call);
      const found = problemWith(call, answer);
      if (found !== null) {
        failures.push(`${call.method} ${call.path} (${answer.status}): ${found}\n  ${answer.body.slice(0, 300)}`);
      }
      answered.add(`${call.id} ${answer.status}`);
      learned = learn(learned, answer);
    }
    expect(failures).toEqual([]);
  });

  it("was called, with each of its answers", () => {
    const described = operations.flatMap(({ operationId, responses }) =>
      Object.keys(responses)
        .filter((status) => !COMMON.includes(status))
        .map((status) => `${operationId} ${status}`),
    );
    expect(described.length).toBeGreaterThanOrEqual(operations.length);
    expect(described.filter((wanted) => !answered.has(wanted))).toEqual([]);
  });
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

async function send({ method, path, as, headers, json, body }: ApiCall): Promise<Answer> {
  const response = await fetch(`${system.url}${path}`, {
    method,
    headers: { ...headers, ...(as === undefined ? {} : { authorization: `Bearer ${TOKENS[as]}` }) },
    ...(json === undefined ? (body === undefined ? {} : { body }) : { body: JSON.stringify(json) }),
  });
  return { status: response.status, headers: response.headers, body: await response.text() };
}

/** A WebSocket that opens, and offers what it must accept. */
async function connect({ path }: ApiCall): Promise<Answer> {
  const socket = new WebSocket(`${system.url.replace("http", "ws")}${path}`, ["r2-failover"]);
  const status = await new Promise<number>((resolve) => {
    socket.onopen = () => resolve(101);
    socket.onerror = () => resolve(0);
  });
  socket.close();
  return { status, headers: new Headers(), body: "" };
}

function learn(known: Learned, answer: Answer): Learned {
  const told = JSON_TYPE.test(mediaType(answer)) ? JSON.parse(answer.body) : {};
  return {
    etag: answer.headers.get("etag") ?? told.etag ?? known.etag,
    operation: told.operation_id ?? known.operation,
    uploadId: told.upload_id ?? known.uploadId,
    since: told.next_since ?? known.since,
  };
}

/** Null: the answer is as it is described. */
function problemWith(call: ApiCall, { status, headers, body }: Answer): string | null {
  if (status !== call.status) return `status ${call.status} was expected`;
  const described = operations.find(({ operationId }) => operationId === call.id);
  if (described === undefined) return `${call.id} is not described`;
  const key = String(status) in described.responses ? String(status) : "4XX";
  const answer = described.responses[key];
  if (answer === undefined) return `status ${status} is not described`;
  for (const name of Object.keys(answer.headers ?? {})) {
    if (!headers.has(name)) return `the header ${name} is missing`;
  }
  if (answer.content === undefined) return body === "" ? null : "a body is not described";
  const type = mediaType({ headers });
  // An object has the type that it was stored with.
  const schema = (answer.content[type] ?? answer.content["application/octet-stream"])?.schema;
  if (schema === undefined) return `the type ${type} is not described`;
  if (!JSON_TYPE.test(type)) return null;
  const validate = ajv.compile(absolute(schema));
  return validate(JSON.parse(body)) ? null : ajv.errorsText(validate.errors);
}

function mediaType({ headers }: Pick<Answer, "headers">): string {
  return (headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "";
}

/** References lead into the document. */
function absolute(schema: object): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#', '"$ref":"openapi.json#'));
}

/** Debian's package prometheus brings promtool; `.ci/run` fetches it. Elsewhere it is used where it is there. */
const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;

it.runIf(hasPromtool || process.env.CI === "true")("has metrics that promtool accepts", async () => {
  const metrics = await (await fetch(`${system.url}/metrics`)).text();
  expect(metrics).toContain("# TYPE r2_failover_calls_total counter");
  const output = execFileSync("promtool", ["check", "metrics"], { input: metrics, encoding: "utf8", stdio: "pipe" });
  expect(output).toBe("");
});
