-- One queue shard. Times are epoch milliseconds of the object's clock.

CREATE TABLE operation_queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT,     -- the sequence: order within a key
  operation_type TEXT NOT NULL,             -- UPLOAD, DELETE, MULTIPART_UPLOAD
  operation_id TEXT NOT NULL UNIQUE,
  payload TEXT NOT NULL,                    -- the put's metadata and options, sealed like the chunks
  priority INTEGER NOT NULL DEFAULT 5,
  status TEXT NOT NULL DEFAULT 'PENDING',
  retry_count INTEGER NOT NULL DEFAULT 0,   -- failures charged to the operation
  max_retries INTEGER,                      -- null: the config's
  user_id TEXT,
  file_id TEXT,
  error_message TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  scheduled_at INTEGER NOT NULL,
  completed_at INTEGER,
  key TEXT NOT NULL,
  -- ready | waiting (until scheduled_at) | claimed | parked | final: what the drain looks at, so that operations that
  -- wait are never walked over on the way to one that is ready.
  phase TEXT NOT NULL,
  score INTEGER NOT NULL,                   -- ready_at + priority x k: the order across keys
  not_before INTEGER NOT NULL DEFAULT 0,    -- end of the backoff
  fence_at INTEGER NOT NULL,                -- what R2 got before this is older
  first_call_at INTEGER,                    -- when a call with these bytes first went to R2
  failure_count INTEGER NOT NULL DEFAULT 0, -- all failures, charged or not: the backoff's exponent
  uncharged_at INTEGER,                     -- a failure for which nobody has been blamed yet
  lease_token TEXT,
  needs_epoch INTEGER NOT NULL DEFAULT 0,   -- a delete waits until this epoch is known everywhere
  size INTEGER NOT NULL DEFAULT 0,          -- of the object
  held_bytes INTEGER NOT NULL DEFAULT 0,    -- of the payload here: parts of an upload may lie in R2
  etag TEXT NOT NULL DEFAULT '',
  checksums TEXT NOT NULL DEFAULT '{}',
  fingerprint TEXT,                         -- null for a delete
  key_id TEXT,                              -- the encryption key's id; null: in clear
  upload_id TEXT                            -- the upload that is completed by it
);

CREATE INDEX idx_operation_queue_status ON operation_queue(status, id);
CREATE INDEX idx_operation_queue_priority ON operation_queue(score) WHERE phase = 'ready';
CREATE INDEX idx_operation_queue_waiting ON operation_queue(scheduled_at) WHERE phase = 'waiting';
CREATE INDEX idx_operation_queue_live_key ON operation_queue(key) WHERE phase <> 'final';
CREATE INDEX idx_operation_queue_key ON operation_queue(key, id);
CREATE INDEX idx_operation_queue_user ON operation_queue(user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX idx_operation_queue_final ON operation_queue(completed_at) WHERE phase = 'final';

-- One row: operations that ended and were forgotten after their retention.
CREATE TABLE swept_operations (id INTEGER PRIMARY KEY CHECK (id = 1), n INTEGER NOT NULL);
INSERT INTO swept_operations (id, n) VALUES (1, 0);

-- Payloads that are still being received; an operation is inserted when one is whole.
CREATE TABLE receipts (
  operation_id TEXT PRIMARY KEY,
  key TEXT NOT NULL
);

-- Payloads in rows of at most 1 MiB.
CREATE TABLE payload_chunks (
  operation_id TEXT NOT NULL,               -- or the payload id of a part
  n INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (operation_id, n)
);

-- Multipart uploads that are not in R2 yet as objects. Gone with their operation, or when nobody has completed them.
CREATE TABLE uploads (
  upload_id TEXT PRIMARY KEY,               -- as its caller has it
  key TEXT NOT NULL,
  origin TEXT NOT NULL,                     -- r2: begun there; queue: begun here
  state TEXT NOT NULL,                      -- open | queued: its completion is an operation | aborted: R2 is yet to be told
  r2_upload_id TEXT,                        -- the upload in R2; null: none yet
  metadata TEXT NOT NULL,                   -- its options, sealed
  key_id TEXT,
  created_at INTEGER NOT NULL,
  completing_from INTEGER,                  -- when R2 may first have been told to complete it; null: never
  abort_tries INTEGER NOT NULL DEFAULT 0,
  abort_at INTEGER                          -- when R2 is told next that it was aborted
);
CREATE INDEX idx_uploads_open ON uploads(created_at) WHERE state <> 'queued';
CREATE INDEX idx_uploads_aborted ON uploads(abort_at) WHERE state = 'aborted';

-- Their parts: the last one of each number, wherever it is.
CREATE TABLE upload_parts (
  upload_id TEXT NOT NULL,
  part_number INTEGER NOT NULL,
  etag TEXT NOT NULL,                       -- as its caller has it
  size INTEGER,                             -- size and md5 are null where nobody could tell
  md5 TEXT,
  payload_id TEXT,                          -- its chunks here; null: it lies in R2 only
  key_id TEXT,
  r2_etag TEXT,                             -- as R2 has it; null: R2 does not have it yet
  PRIMARY KEY (upload_id, part_number)
) WITHOUT ROWID;

-- Large payloads whose operations have ended, freed in slices.
CREATE TABLE freeing (operation_id TEXT PRIMARY KEY) WITHOUT ROWID;

-- Calls to R2 that may yet land. While one stands, nothing is applied to its key.
-- ticket: a direct delete or conditional put that asked first; direct: given up, then enqueued or quarantined;
-- drain: a claim of this queue.
CREATE TABLE outstanding_calls (
  call_id TEXT PRIMARY KEY,
  key TEXT NOT NULL,
  kind TEXT NOT NULL,
  operation_id TEXT,
  until INTEGER NOT NULL
);
CREATE INDEX idx_outstanding_calls_key ON outstanding_calls(key);
CREATE INDEX idx_outstanding_calls_until ON outstanding_calls(until);

-- What is remembered of a key: the version that the queue wrote last, and puts whose outcome is unknown.
CREATE TABLE ledger (
  key TEXT NOT NULL,
  version TEXT,
  fingerprint TEXT,
  at INTEGER NOT NULL
);
CREATE INDEX idx_ledger_key ON ledger(key);
CREATE INDEX idx_ledger_at ON ledger(at);

-- Single values: epoch and its confirmation, quota, terms.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Events on their way to the ServiceDO. Numbers are never given out twice: it tells by them what it has.
CREATE TABLE event_outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL);
