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

-- What each service said last of its state, as JSON, and when by its own clock.
CREATE TABLE service_states (
    service_name TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    as_of INTEGER NOT NULL
) WITHOUT ROWID;
