/** One JSON object a line. Never payloads, keys or tokens. */
export function log(level: "warn" | "error", event: string, fields: Readonly<Record<string, unknown>>): void {
  console[level](JSON.stringify({ level, event, ...fields }));
}

/** An error as log fields: internals belong here, never in an answer. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { error: String(error) };
  const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
  return { error: error.message, error_name: error.name, stack: error.stack, ...cause };
}
