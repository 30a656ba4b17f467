import { expect, test } from "vitest";
import { openApiDocument } from "../../../src/http/openapi/document";
import { OPERATIONS } from "../../../src/http/openapi/operations";
import { ROUTES } from "../../../src/http/router";
import { send } from "./client";

interface Document {
  openapi: string;
  paths: Record<string, Record<string, { operationId: string; security: object[] }>>;
  components: { schemas: Record<string, object> };
}

const served = async () => (await send("GET", "/openapi.json")).json<Document>();

test("every route is described, and nothing else is", () => {
  expect(Object.keys(OPERATIONS).sort()).toEqual(ROUTES.map(({ method, path }) => `${method} ${path}`).sort());
});

test("every route is in the document, with an operation id of its own", async () => {
  const { openapi, paths } = await served();
  expect(openapi).toMatch(/^3\.1\./);
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
  expect(operations).toHaveLength(ROUTES.length);
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(ROUTES.length);
});

test("a new route without a description would be missed", () => {
  const more = [...ROUTES, { method: "GET", path: "/new", access: "public" as const }];
  const { paths } = openApiDocument(more);
  expect(Object.keys(paths as object)).not.toContain("/new");
});

test("the same routes give the same bytes", async () => {
  expect(JSON.stringify(openApiDocument(ROUTES))).toBe(await (await send("GET", "/openapi.json")).text());
});

test("it says who may call: nobody needs a token for a public call, nobody else's opens an operator's", async () => {
  const { paths } = await served();
  expect(paths["/health/status"]?.get?.security).toContainEqual({});
  expect(paths["/health/config"]?.get?.security).toEqual([{ operator: [] }]);
  expect(paths["/r2/{key}"]?.put?.security).toEqual([{ gateway: [] }, { user: [] }, { operator: [] }]);
});

test("bodies are described by the schemas that check them", async () => {
  const text = JSON.stringify((await served()).paths["/health/services/{serviceName}/mode"]);
  expect(text).toContain('"enum":["auto","forced_open","forced_closed","metrics_only"]');
  expect(text).toContain('"required":["mode","reason"]');
  expect(text).toContain('"additionalProperties":false');
});
