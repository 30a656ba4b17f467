import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, test } from "vitest";
import { migrate } from "../../../durable-objects/shared/migrate";

afterEach(() => reset());

const inObject = (run: (ctx: DurableObjectState) => void) =>
  runInDurableObject(env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system")), (_, ctx) => run(ctx));
const tables = (ctx: DurableObjectState) =>
  ctx.storage.sql
    .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 't_'")
    .toArray()
    .map(({ name }) => name);

const FIRST = { name: "t1", sql: "CREATE TABLE t1 (a INTEGER); INSERT INTO t1 VALUES (1);" };
const SECOND = { name: "t2", sql: "-- a comment; with a semicolon\nCREATE TABLE t2 (a TEXT DEFAULT ';');\n" };

test("each file is applied once, in order, whatever was applied before", async () => {
  await inObject((ctx) => {
    migrate(ctx, [FIRST]);
    migrate(ctx, [FIRST, SECOND]);
    migrate(ctx, [FIRST, SECOND]);
    expect(tables(ctx)).toEqual(["t1", "t2"]);
    expect(ctx.storage.sql.exec("SELECT a FROM t1").toArray()).toEqual([{ a: 1 }]);
  });
});

test("a file that fails leaves nothing behind, and the ones before it stand", async () => {
  await inObject((ctx) => {
    const broken = { name: "t3", sql: "CREATE TABLE t3 (a INTEGER); INSERT INTO nowhere VALUES (1);" };
    expect(() => migrate(ctx, [FIRST, broken])).toThrow(/nowhere/);
    expect(tables(ctx)).toEqual(["t1"]);
    migrate(ctx, [FIRST, { ...broken, sql: "CREATE TABLE t3 (a INTEGER)" }]);
    expect(tables(ctx)).toEqual(["t1", "t3"]);
  });
});
