-- Version 4. Who may ask: tokens by the hash of their secret, and how much they were used.
CREATE TABLE token (
    sha256   TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL,
    name     TEXT NOT NULL GENERATED ALWAYS AS (document ->> '$.name') STORED UNIQUE
) STRICT, WITHOUT ROWID;

CREATE TABLE use_count (
    counter    TEXT    NOT NULL PRIMARY KEY,
    uses       INTEGER NOT NULL,
    expires_at INTEGER NOT NULL -- seconds since the Unix epoch
) STRICT, WITHOUT ROWID;

-- Hosts that gave trouble, by the minute.
CREATE TABLE troubled_host (
    minute INTEGER NOT NULL,
    host   TEXT    NOT NULL,
    tally  TEXT    NOT NULL,
    PRIMARY KEY (minute, host)
) STRICT, WITHOUT ROWID;
