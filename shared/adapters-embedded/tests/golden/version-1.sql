-- State as version 1 wrote it. Never edit this file: later versions must read it as it is.

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
CREATE TABLE kpi_part (
    batch TEXT    NOT NULL,
    chunk INTEGER NOT NULL,
    part  INTEGER NOT NULL,
    PRIMARY KEY (batch, chunk, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE message (
    id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    queue         TEXT    NOT NULL,
    dead          INTEGER NOT NULL DEFAULT 0,
    body          TEXT    NOT NULL,
    visible_at    INTEGER NOT NULL,
    held          INTEGER NOT NULL DEFAULT 0,
    generation    INTEGER NOT NULL DEFAULT 0,
    receive_count INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX message_by_visibility ON message (queue, dead, visible_at);
CREATE INDEX message_exhausted ON message (queue, visible_at) WHERE dead = 0 AND receive_count >= 5;

INSERT INTO batch (id, document) VALUES ('01KE0000000000000000000001', '{"id":"01KE0000000000000000000001","name":"spring","owner":"tests","status":"PROCESSING","options":{"url_column":"image link","list_format":"csv","chunk_size":null,"measure":"fast"},"list_name":"spring.csv","list_sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","list_bytes":1234,"created_at":"2026-01-01T12:00:00Z","updated_at":"2026-01-01T12:00:02Z","started_at":"2026-01-01T12:00:01Z","ended_at":null,"failure":null,"checkpoint":{"chunks":2,"rows":3},"totals":{"rows":3,"chunks":2,"shards":1},"finalize_sent":false,"report_ready":false}');
INSERT INTO shard (batch, shard, expected, done, counters, closed) VALUES ('01KE0000000000000000000001', 0, 2, 1, '{"rows":3,"by_outcome":{"ok":2,"not_found":1},"by_issue":{"blurry":1},"attempts":3,"bytes":3000,"elapsed_ms":60}', 0);
INSERT INTO part_done (batch, shard, chunk, part) VALUES ('01KE0000000000000000000001', 0, 0, 0);
INSERT INTO kpi (minute, delta) VALUES (29453040, '{"parts":1,"counters":{"rows":3,"by_outcome":{"ok":3},"by_issue":{},"attempts":3,"bytes":3000,"elapsed_ms":60},"busy_ms":60,"latency":{"17":3}}');
INSERT INTO kpi_part (batch, chunk, part) VALUES ('01KE0000000000000000000001', 0, 0);
INSERT INTO message (queue, body, visible_at, held, generation, receive_count, interruptions) VALUES ('chunks', '{"batch":"01KE0000000000000000000001","chunk":1,"part":0,"deferrals":0}', 1767268862000, 1, 3, 2, 1);

PRAGMA user_version = 1;
