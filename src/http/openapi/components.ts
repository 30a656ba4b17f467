/** Named schemas of what is answered, each held to the TypeScript type that the code answers with. */
import * as z from "zod";

/** Every schema that the document shows under `components`. */
export const components = z.registry<{ id: string }>();

/** Names a schema. */
export function component<T>(id: string, schema: z.ZodType<T>): z.ZodType<T> {
  components.add(schema, { id });
  return schema;
}

/**
 * Names the schema of a record that the code has a type of. Each must take all that the other takes, so that neither
 * changes alone: `gap` is there for the compiler.
 */
export function recordOf<T>(id: string) {
  return <U extends T>(schema: z.ZodType<U>, ..._gap: [T] extends [U] ? [] : ["the schema lacks a part of the type"]) =>
    component(id, schema);
}

export const time = z.iso.datetime();
export const count = z.int().min(0);
export const percent = z.number().min(0).max(100);
export const ms = z.number().min(0);
export const fields = z.record(z.string(), z.unknown());
