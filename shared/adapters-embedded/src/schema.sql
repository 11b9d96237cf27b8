-- Version 1. A released version is never edited: a later one is a file of its own, appended to MIGRATIONS in database.rs.

-- The whole batch is one JSON document; what listings ask for is read out of it, so that the two cannot disagree.
CREATE TABLE batch (
    id       TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL,
    owner    TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.owner') STORED,
    status   TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.status') STORED
) STRICT, WITHOUT ROWID;

CREATE INDEX batch_by_owner ON batch (owner, id);
CREATE INDEX batch_by_status ON batch (status, id);

CREATE TABLE shard (
    batch    TEXT    NOT NULL REFERENCES batch (id) ON DELETE CASCADE,
    shard    INTEGER NOT NULL,
    expected INTEGER NOT NULL,
    done     INTEGER NOT NULL DEFAULT 0,
    counters TEXT    NOT NULL,
    closed   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (batch, shard)
) STRICT, WITHOUT ROWID;

-- One row a counted part: its primary key is what makes a repeat harmless.
CREATE TABLE part_done (
    batch TEXT    NOT NULL,
    shard INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    part  INTEGER NOT NULL,
    PRIMARY KEY (batch, shard, chunk, part),
    FOREIGN KEY (batch, shard) REFERENCES shard (batch, shard) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE kpi (
    minute INTEGER NOT NULL PRIMARY KEY,
    delta  TEXT    NOT NULL
) STRICT;

-- No reference to the batch: indicators may come in after it was deleted.
CREATE TABLE kpi_part (
    batch TEXT    NOT NULL,
    chunk INTEGER NOT NULL,
    part  INTEGER NOT NULL,
    PRIMARY KEY (batch, chunk, part)
) STRICT, WITHOUT ROWID;

-- Messages of all queues and of their dead letters. AUTOINCREMENT: a receipt never names a later message.
CREATE TABLE message (
    id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    queue         TEXT    NOT NULL,
    dead          INTEGER NOT NULL DEFAULT 0,
    body          TEXT    NOT NULL,
    visible_at    INTEGER NOT NULL,           -- milliseconds since the Unix epoch
    held          INTEGER NOT NULL DEFAULT 0, -- whether a receipt is current
    generation    INTEGER NOT NULL DEFAULT 0, -- goes up with every receive and never down: the receipt's second half
    receive_count INTEGER NOT NULL DEFAULT 0, -- interrupted receives are taken off again
    interruptions INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX message_by_visibility ON message (queue, dead, visible_at);
-- The 5 is Queue::MAX_RECEIVES.
CREATE INDEX message_exhausted ON message (queue, visible_at) WHERE dead = 0 AND receive_count >= 5;
