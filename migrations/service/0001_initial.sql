-- One row: the object is one service.
CREATE TABLE service_status (
    id INTEGER PRIMARY KEY,
    service_name TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL DEFAULT 'HEALTHY',
    circuit_breaker_state TEXT NOT NULL DEFAULT 'CLOSED',
    health_metrics TEXT NOT NULL DEFAULT '{}',
    degradation_reason TEXT,
    storage_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    shard_count INTEGER NOT NULL,
    read_circuit TEXT NOT NULL,
    write_circuit TEXT NOT NULL,
    by_hand TEXT NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0,
    monitored INTEGER NOT NULL DEFAULT 1,
    config TEXT NOT NULL,
    clock_offset_ms INTEGER NOT NULL DEFAULT 0,
    queue_fill TEXT NOT NULL DEFAULT 'empty', -- empty, some, half, most, full: the last milestone told
    trusted_until INTEGER NOT NULL DEFAULT 0,
    last_write_success_at INTEGER,
    last_check_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE INDEX idx_service_status_service_name ON service_status(service_name);

-- Every shard that was ever busy. `busy` is JSON: null (calm), "all", or a list of key hashes.
CREATE TABLE shards (
    shard INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    busy TEXT NOT NULL,
    usage TEXT NOT NULL,
    quota_operations INTEGER NOT NULL DEFAULT 0,
    quota_bytes INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL
);

CREATE TABLE faults (
    position INTEGER PRIMARY KEY,
    rule TEXT NOT NULL
);

-- Calls that isolates and shards made, by class. `span`: minute (kept 48 h), hour (90 days), total (for good, at 0).
-- `latency` is JSON: calls per bucket.
CREATE TABLE metric_rollups (
    span TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    class TEXT NOT NULL,
    success INTEGER NOT NULL,
    failure INTEGER NOT NULL,
    throttled INTEGER NOT NULL,
    ignored INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    latency TEXT NOT NULL,
    PRIMARY KEY (span, started_at, class)
) WITHOUT ROWID;

-- What of the above was still in memory when the object ended.
CREATE TABLE metric_gaps (
    started_at INTEGER PRIMARY KEY,
    ended_at INTEGER NOT NULL
);

-- One row. `dirty_since`: something is in memory that is in no rollup yet. `observed_at`: the last call or probe.
CREATE TABLE observation (
    id INTEGER PRIMARY KEY,
    dirty_since INTEGER,
    observed_at INTEGER NOT NULL
);

CREATE TABLE incidents (
    incident_id TEXT PRIMARY KEY,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER,
    incident TEXT NOT NULL
);

CREATE INDEX idx_incidents_opened_at ON incidents(opened_at);

-- The service from `started_at` to the next row; NULL: nobody looked.
CREATE TABLE state_intervals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started_at INTEGER NOT NULL,
    status TEXT,
    read_circuit TEXT,
    write_circuit TEXT
);

CREATE INDEX idx_state_intervals_started_at ON state_intervals(started_at);
