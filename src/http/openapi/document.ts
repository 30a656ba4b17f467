/** The OpenAPI 3.1 document, made of the routes and their descriptions. The same input gives the same bytes. */
import * as z from "zod";
import { description, version } from "../../../package.json";
import type { Access } from "../auth";
import { components } from "./components";
import { problem } from "./object-records";
import { BYTES, type DescribedAnswer, type DescribedOperation, OPERATIONS } from "./operations";

/** What the document needs of a route. */
export interface DescribedRoute {
  readonly method: string;
  readonly path: string;
  readonly access: Access;
}

type Json = Record<string, unknown>;

const PROBLEM_TYPE = "application/problem+json";
const SCHEMAS = "#/components/schemas/";

/** Who may call, as alternatives. */
const SECURITY: Readonly<Record<Access, readonly Json[]>> = {
  public: [{}, { operator: [] }, { gateway: [] }],
  gateway: [{ gateway: [] }, { user: [] }, { operator: [] }],
  gateway_read: [{ gateway: [] }, { user: [] }, { operator: [] }],
  user: [{ user: [] }, { operator: [] }],
  admin: [{ operator: [] }],
};

export function openApiDocument(routes: readonly DescribedRoute[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const described = OPERATIONS[`${route.method} ${route.path}`];
    if (described === undefined) continue;
    const path = pathOf(route.path);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route, described) };
  }
  return {
    openapi: "3.1.1",
    info: {
      title: "r2-failover",
      version,
      description: `${description} Every GET answers HEAD too. A 503 that passes by itself carries Retry-After.`,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    security: [],
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: {
        operator: { type: "http", scheme: "bearer", description: "ADMIN_TOKEN." },
        gateway: { type: "http", scheme: "bearer", description: "R2_TOKEN." },
        user: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description: "A user's token: objects below R2_USER_PREFIX, and the user's own operations.",
        },
      },
    },
  };
}

/** `/r2/:key+` is `/r2/{key}`; a path without a key ends with its slash. */
function pathOf(route: string): string {
  return route === "/r2" ? "/r2/" : route.replace(/:(\w+)\+?/g, "{$1}");
}

function operationOf({ access }: DescribedRoute, described: DescribedOperation): Json {
  const { id, tag, summary, path = {}, query = {}, headers = {}, body, answers } = described;
  const parameters = [
    ...Object.entries(path).map(([name, schema]) => parameter("path", name, schema)),
    ...Object.entries(query).map(([name, schema]) => parameter("query", name, schema)),
    // OpenAPI has Accept by the media types of the answers.
    ...Object.entries(headers).flatMap(([name, schema]) =>
      name === "accept" ? [] : [parameter("header", name, schema)],
    ),
  ];
  return {
    operationId: id,
    tags: [tag],
    summary,
    security: SECURITY[access],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: requestBody(body) }),
    responses: responsesOf(answers),
  };
}

function parameter(place: "path" | "query" | "header", name: string, schema: z.ZodType): Json {
  const { description: said, ...rest } = jsonSchema(schema, "output");
  return {
    name,
    in: place,
    required: place === "path",
    ...(said === undefined ? {} : { description: said }),
    schema: rest,
  };
}

function requestBody(body: z.ZodType | typeof BYTES): Json {
  if (body === BYTES) return { required: true, content: { "*/*": { schema: { type: "string", format: "binary" } } } };
  const schema = jsonSchema(body, "input");
  const isRequired = Array.isArray(schema.required) && schema.required.length > 0;
  return { required: isRequired, content: { "application/json": { schema } } };
}

/** Beside its own answers each operation refuses, or cannot answer now. */
function responsesOf(answers: Readonly<Record<number, DescribedAnswer>>): Json {
  const refused = { [PROBLEM_TYPE]: { schema: schemaOf(problem) } };
  const own = Object.entries(answers).map(([status, { description: said, content = {}, headers = [] }]) => {
    const isError = Number(status) >= 400;
    const types = Object.entries(content).map(([type, schema]) => [type, { schema: schemaOf(schema) }]);
    const body = { ...Object.fromEntries(types), ...(isError ? refused : {}) };
    return [
      status,
      {
        description: said,
        ...(headers.length === 0 ? {} : { headers: headersOf(headers) }),
        ...(Object.keys(body).length === 0 ? {} : { content: body }),
      },
    ];
  });
  return {
    "503": { description: "Not now, or not set up.", headers: headersOf(["retry-after"]), content: refused },
    ...Object.fromEntries(own),
    "4XX": { description: "Refused.", content: refused },
  };
}

function headersOf(names: readonly string[]): Json {
  return Object.fromEntries(names.map((name) => [name, { schema: { type: "string" } }]));
}

/** A reference where the schema has a name. */
function schemaOf(schema: z.ZodType): Json {
  const named = components.get(schema);
  return named === undefined ? jsonSchema(schema, "output") : { $ref: `${SCHEMAS}${named.id}` };
}

function componentSchemas(): Json {
  const { schemas } = z.toJSONSchema(components, { io: "output", uri: (id) => `${SCHEMAS}${id}` });
  return Object.fromEntries(
    Object.entries(schemas)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, schema]) => [name, bare(schema)]),
  );
}

function jsonSchema(schema: z.ZodType, io: "input" | "output"): Json {
  return bare(z.toJSONSchema(schema, { io }));
}

/** Without the members that name the dialect, which is OpenAPI 3.1's own, and a place of its own. */
function bare(schema: object): Json {
  const { $schema: _dialect, $id: _id, ...rest } = { $schema: "", $id: "", ...schema };
  return rest;
}
