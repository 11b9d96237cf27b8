-- Version 3. What is set for the whole system, as JSON by name.
CREATE TABLE setting (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Requests that must not be carried out twice.
CREATE TABLE idempotency_key (
    owner          TEXT    NOT NULL,
    key            TEXT    NOT NULL,
    request_sha256 TEXT    NOT NULL,
    batch          TEXT    NOT NULL,
    expires_at     INTEGER NOT NULL, -- milliseconds since the Unix epoch
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_key_by_expiry ON idempotency_key (expires_at);
