import type { DescribedRoute } from "./document";
import { openApiDocument } from "./document";

let text: string | null = null;

/** `GET /openapi.json`. Made once an isolate: nothing in it changes. */
export function openApi(routes: readonly DescribedRoute[]): Response {
  text ??= JSON.stringify(openApiDocument(routes));
  return new Response(text, {
    headers: { "content-type": "application/json; charset=utf-8", "cache-control": "public, max-age=300" },
  });
}
