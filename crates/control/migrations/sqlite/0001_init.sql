-- Ids are UUIDs as text, moments are milliseconds since 1970 UTC, documents are JSON as text. Every table that belongs to a
-- tenant has the tenant first in its key, so that no row can be reached without it.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE tenant (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE person (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    name_key      TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    is_super      INTEGER NOT NULL,
    disabled      INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE membership (
    tenant_id TEXT NOT NULL REFERENCES tenant (id),
    person_id TEXT NOT NULL REFERENCES person (id),
    role      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, person_id)
) STRICT;
CREATE INDEX membership_of_person ON membership (person_id);

CREATE TABLE session (
    token_hash TEXT PRIMARY KEY,
    person_id  TEXT NOT NULL REFERENCES person (id),
    tenant_id  TEXT NOT NULL REFERENCES tenant (id),
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX session_of_person ON session (person_id);

CREATE TABLE api_token (
    tenant_id  TEXT NOT NULL REFERENCES tenant (id),
    id         TEXT NOT NULL UNIQUE,
    person_id  TEXT NOT NULL REFERENCES person (id),
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT;

CREATE TABLE connection (
    tenant_id  TEXT NOT NULL REFERENCES tenant (id),
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    settings   TEXT NOT NULL,
    secret     TEXT,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name_key)
) STRICT;

CREATE TABLE pipeline (
    tenant_id      TEXT NOT NULL REFERENCES tenant (id),
    id             TEXT NOT NULL,
    name           TEXT NOT NULL,
    name_key       TEXT NOT NULL,
    engine         TEXT NOT NULL,
    source_id      TEXT NOT NULL,
    target_id      TEXT NOT NULL,
    spec           TEXT NOT NULL,
    desired        TEXT NOT NULL,
    state          TEXT NOT NULL,
    stopped_reason TEXT,
    error          TEXT,
    report         TEXT,
    since          INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name_key),
    FOREIGN KEY (tenant_id, source_id) REFERENCES connection (tenant_id, id),
    FOREIGN KEY (tenant_id, target_id) REFERENCES connection (tenant_id, id)
) STRICT;

CREATE TABLE lease (
    tenant_id   TEXT NOT NULL,
    pipeline_id TEXT NOT NULL,
    node        TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, pipeline_id),
    FOREIGN KEY (tenant_id, pipeline_id) REFERENCES pipeline (tenant_id, id)
) STRICT;

CREATE TABLE operation (
    tenant_id   TEXT NOT NULL REFERENCES tenant (id),
    id          TEXT NOT NULL,
    pipeline_id TEXT,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,
    progress    TEXT,
    result      TEXT,
    error       TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT;

-- Append-only: the triggers refuse what would change history. Each row's hash covers the one before it.
CREATE TABLE audit (
    tenant_id TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    address   TEXT NOT NULL,
    action    TEXT NOT NULL,
    object    TEXT NOT NULL,
    before    TEXT,
    after     TEXT,
    outcome   TEXT NOT NULL,
    hash      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, seq)
) STRICT;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TABLE idempotency (
    principal  TEXT NOT NULL,
    route      TEXT NOT NULL,
    key        TEXT NOT NULL,
    body_hash  TEXT NOT NULL,
    status     INTEGER,
    reply      TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (principal, route, key)
) STRICT;
