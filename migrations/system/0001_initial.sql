CREATE TABLE services (
    service_name TEXT PRIMARY KEY,
    registered_at INTEGER NOT NULL
);

-- Only what differs from the defaults of src/shared/config.ts.
CREATE TABLE failover_config (
    id INTEGER PRIMARY KEY,
    service_name TEXT NOT NULL,
    config_key TEXT NOT NULL,
    config_value TEXT NOT NULL,
    config_type TEXT NOT NULL DEFAULT 'integer',
    description TEXT,
    updated_at INTEGER NOT NULL,
    updated_by TEXT NOT NULL,
    UNIQUE (service_name, config_key)
);

-- One row: the identity of this storage, made once. The feed's epoch.
CREATE TABLE identity (
    id INTEGER PRIMARY KEY,
    storage_id TEXT NOT NULL
);

-- The merged feed of all services. `seq` is given out by the store, one after the other: it has no gap.
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

-- What each service said last of its state, as JSON, and when by its own clock.
CREATE TABLE service_states (
    service_name TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    as_of INTEGER NOT NULL
) WITHOUT ROWID;
