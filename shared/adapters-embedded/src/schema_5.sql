-- Version 5. What is known of the keys of vision providers, and answers worth keeping with leases on those being worked out.
CREATE TABLE provider_key (
    pool    TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    version INTEGER NOT NULL,
    state   TEXT    NOT NULL,
    PRIMARY KEY (pool, key)
) STRICT, WITHOUT ROWID;

-- Times in milliseconds since the Unix epoch. Without a value, a lease alone.
CREATE TABLE cache_entry (
    key          TEXT    NOT NULL PRIMARY KEY,
    value        BLOB,
    stored_at    INTEGER NOT NULL DEFAULT 0,
    fresh_until  INTEGER NOT NULL DEFAULT 0,
    cost         INTEGER NOT NULL DEFAULT 0,
    holder       TEXT,
    leased_until INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX cache_entry_by_end ON cache_entry (max(fresh_until, leased_until));

CREATE TABLE cache_invalidation (
    pattern    TEXT    NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
