/**
 * What every answer tells a browser, unless its handler says otherwise. An object is some user's bytes: served as HTML
 * it must run nothing in the name of this origin, and nobody may frame it.
 */
const DEFAULTS: Readonly<Record<string, string>> = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
};

const YEAR_S = 31_536_000;

export function addSecurityHeaders(headers: Headers, isHttps: boolean): void {
  for (const [name, value] of Object.entries(DEFAULTS)) if (!headers.has(name)) headers.set(name, value);
  headers.set("x-content-type-options", "nosniff");
  if (isHttps) headers.set("strict-transport-security", `max-age=${YEAR_S}`);
}
