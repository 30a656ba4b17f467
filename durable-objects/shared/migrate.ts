/** One numbered SQL file of `migrations/<object>/`, imported as text. Never edited once released. */
export interface Migration {
  readonly name: string;
  readonly sql: string;
}

/**
 * Brings an object's schema up to date: applies, in the order given, what `_migrations` does not list yet. Synchronous,
 * so that a constructor needs no `blockConcurrencyWhile`; each file commits together with its record, or not at all.
 */
export function migrate(ctx: DurableObjectState, migrations: readonly Migration[]): void {
  const { sql } = ctx.storage;
  sql.exec("CREATE TABLE IF NOT EXISTS _migrations (name TEXT PRIMARY KEY, applied_at INTEGER NOT NULL)");
  const applied = new Set(
    sql
      .exec<{ name: string }>("SELECT name FROM _migrations")
      .toArray()
      .map((row) => row.name),
  );
  for (const migration of migrations) {
    if (applied.has(migration.name)) continue;
    ctx.storage.transactionSync(() => {
      sql.exec(migration.sql);
      sql.exec("INSERT INTO _migrations (name, applied_at) VALUES (?, ?)", migration.name, Date.now());
    });
  }
}
