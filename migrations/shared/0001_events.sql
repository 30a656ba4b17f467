-- What every object has that keeps events.

-- `seq` is given out by the store, one after the other: it has no gap.
CREATE TABLE system_events (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    event_type TEXT NOT NULL,
    event_category TEXT NOT NULL,
    service_name TEXT NOT NULL,
    severity TEXT NOT NULL DEFAULT 'INFO',
    event_data TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL
);

-- The last event taken of each source that tells this object of events: deduplicates what is sent again.
CREATE TABLE event_sources (
    source TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (source, epoch)
) WITHOUT ROWID;

-- How far others have got in system_events.
CREATE TABLE cursors (
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) WITHOUT ROWID;
