-- Ids are UUIDs as text, moments are milliseconds since 1970 UTC, documents are JSON as text. Every table that belongs to a
-- tenant has the tenant first in its key, so that no row can be reached without it.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE tenant (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE person (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    name_key      TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    is_super      BIGINT NOT NULL,
    disabled      BIGINT NOT NULL,
    version       BIGINT NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE membership (
    tenant_id TEXT NOT NULL REFERENCES tenant (id),
    person_id TEXT NOT NULL REFERENCES person (id),
    role      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, person_id)
);
CREATE INDEX membership_of_person ON membership (person_id);

CREATE TABLE session (
    token_hash TEXT PRIMARY KEY,
    person_id  TEXT NOT NULL REFERENCES person (id),
    tenant_id  TEXT NOT NULL REFERENCES tenant (id),
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);
CREATE INDEX session_of_person ON session (person_id);

CREATE TABLE api_token (
    tenant_id  TEXT NOT NULL REFERENCES tenant (id),
    id         TEXT NOT NULL UNIQUE,
    person_id  TEXT NOT NULL REFERENCES person (id),
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE connection (
    tenant_id  TEXT NOT NULL REFERENCES tenant (id),
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    settings   TEXT NOT NULL,
    secret     TEXT,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name_key)
);

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
    since          BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name_key),
    FOREIGN KEY (tenant_id, source_id) REFERENCES connection (tenant_id, id),
    FOREIGN KEY (tenant_id, target_id) REFERENCES connection (tenant_id, id)
);

CREATE TABLE lease (
    tenant_id   TEXT NOT NULL,
    pipeline_id TEXT NOT NULL,
    node        TEXT NOT NULL,
    epoch       BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, pipeline_id),
    FOREIGN KEY (tenant_id, pipeline_id) REFERENCES pipeline (tenant_id, id)
);

CREATE TABLE operation (
    tenant_id   TEXT NOT NULL REFERENCES tenant (id),
    id          TEXT NOT NULL,
    pipeline_id TEXT,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,
    progress    TEXT,
    result      TEXT,
    error       TEXT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- Append-only: a trigger refuses what would change history. Each row's hash covers the one before it.
CREATE TABLE audit (
    tenant_id TEXT NOT NULL,
    seq       BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    actor     TEXT NOT NULL,
    address   TEXT NOT NULL,
    action    TEXT NOT NULL,
    object    TEXT NOT NULL,
    before    TEXT,
    after     TEXT,
    outcome   TEXT NOT NULL,
    hash      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

CREATE TABLE idempotency (
    principal  TEXT NOT NULL,
    route      TEXT NOT NULL,
    key        TEXT NOT NULL,
    body_hash  TEXT NOT NULL,
    status     BIGINT,
    reply      TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (principal, route, key)
);
