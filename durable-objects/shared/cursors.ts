/** How far others have got in an object's events, by who they are: all SQL on the table `cursors`. */
export class Cursors {
  constructor(private readonly sql: SqlStorage) {}

  /** The number of the last event; 0: none yet. */
  load(name: CursorName): number {
    return this.sql.exec<{ seq: number }>("SELECT seq FROM cursors WHERE name = ?", name).toArray()[0]?.seq ?? 0;
  }

  save(name: CursorName, seq: number): void {
    this.sql.exec(
      "INSERT INTO cursors (name, seq) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq",
      name,
      seq,
    );
  }
}

/** `feed`: the system feed; `subscribers`: all WebSockets that are up to date. */
type CursorName = "feed" | "subscribers";
