-- Version 1. Times are milliseconds since 1970 UTC; rows of the tables below "tables" are JSON, and their generated
-- columns are the indexes that `store::Table::spec` names (sparse: a row without the field is not in the index).

CREATE TABLE queues (
    queue_id INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    made_at  INTEGER NOT NULL
);

CREATE TABLE messages (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    queue_id      INTEGER NOT NULL REFERENCES queues (queue_id) ON DELETE CASCADE,
    message_id    TEXT NOT NULL UNIQUE,
    group_id      TEXT,
    body          TEXT NOT NULL,
    attributes    TEXT NOT NULL,
    sent_at       INTEGER NOT NULL,
    visible_at    INTEGER NOT NULL,
    receive_count INTEGER NOT NULL DEFAULT 0,
    -- Of the latest receive; none while it waits for its first.
    handle        TEXT
);
CREATE INDEX messages_in_order ON messages (queue_id, seq);
CREATE INDEX messages_by_visibility ON messages (queue_id, visible_at, seq);
CREATE INDEX messages_by_age ON messages (sent_at);

CREATE TABLE deduplications (
    queue_id   INTEGER NOT NULL REFERENCES queues (queue_id) ON DELETE CASCADE,
    dedup_id   TEXT NOT NULL,
    message_id TEXT NOT NULL,
    ends_at    INTEGER NOT NULL,
    PRIMARY KEY (queue_id, dedup_id)
) WITHOUT ROWID;
CREATE INDEX deduplications_by_end ON deduplications (ends_at);

CREATE TABLE container_ownership (
    project_key   TEXT PRIMARY KEY NOT NULL,
    container_id  TEXT,
    nonce         TEXT,
    epoch         INTEGER NOT NULL,
    version       TEXT NOT NULL,
    lease_secs    INTEGER NOT NULL,
    claimed_at    INTEGER NOT NULL,
    last_activity INTEGER NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('held', 'free')),
    control_queue TEXT,
    CHECK ((status = 'held') = (container_id IS NOT NULL AND nonce IS NOT NULL))
) WITHOUT ROWID;
CREATE INDEX container_ownership_by_container ON container_ownership (container_id, project_key)
    WHERE container_id IS NOT NULL;

CREATE TABLE task_answers (
    token        TEXT PRIMARY KEY NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('waiting', 'success', 'failure')),
    output       TEXT,
    error        TEXT,
    cause        TEXT,
    heartbeat_at INTEGER,
    answered_at  INTEGER
) WITHOUT ROWID;

-- The last version given to any row: never used twice, not even by a row that was deleted and made again.
CREATE TABLE last_version (version INTEGER NOT NULL);
INSERT INTO last_version (version) VALUES (0);

-- tables

CREATE TABLE containers (
    containerId TEXT PRIMARY KEY NOT NULL,
    version     INTEGER NOT NULL,
    body        TEXT NOT NULL
);

CREATE TABLE edit_sessions (
    sessionId    TEXT PRIMARY KEY NOT NULL,
    version      INTEGER NOT NULL,
    body         TEXT NOT NULL,
    projectKey   TEXT AS (json_extract(body, '$.projectKey')),
    containerId  TEXT AS (json_extract(body, '$.containerId')),
    lastActivity TEXT AS (json_extract(body, '$.lastActivity'))
);
CREATE INDEX edit_sessions_project_index ON edit_sessions (projectKey, lastActivity, sessionId)
    WHERE projectKey IS NOT NULL AND lastActivity IS NOT NULL;
CREATE INDEX edit_sessions_container_index ON edit_sessions (containerId, lastActivity, sessionId)
    WHERE containerId IS NOT NULL AND lastActivity IS NOT NULL;

CREATE TABLE thread_mappings (
    projectKey TEXT NOT NULL,
    messageId  TEXT NOT NULL,
    version    INTEGER NOT NULL,
    body       TEXT NOT NULL,
    threadId   TEXT AS (json_extract(body, '$.threadId')),
    PRIMARY KEY (projectKey, messageId)
);
CREATE INDEX thread_mappings_thread_index ON thread_mappings (threadId, projectKey, messageId)
    WHERE threadId IS NOT NULL;

CREATE TABLE threads (
    threadId     TEXT PRIMARY KEY NOT NULL,
    version      INTEGER NOT NULL,
    body         TEXT NOT NULL,
    projectKey   TEXT AS (json_extract(body, '$.projectKey')),
    lastActivity TEXT AS (json_extract(body, '$.lastActivity'))
);
CREATE INDEX threads_project_index ON threads (projectKey, lastActivity, threadId)
    WHERE projectKey IS NOT NULL AND lastActivity IS NOT NULL;

CREATE TABLE active_jobs (
    projectKey TEXT PRIMARY KEY NOT NULL,
    version    INTEGER NOT NULL,
    body       TEXT NOT NULL
);

CREATE TABLE mails (
    mailId     TEXT PRIMARY KEY NOT NULL,
    version    INTEGER NOT NULL,
    body       TEXT NOT NULL,
    day        TEXT AS (json_extract(body, '$.day')),
    receivedAt TEXT AS (json_extract(body, '$.receivedAt')),
    commandId  TEXT AS (json_extract(body, '$.commandId')),
    open       TEXT AS (json_extract(body, '$.open'))
);
CREATE INDEX mails_day_index ON mails (day, receivedAt, mailId)
    WHERE day IS NOT NULL AND receivedAt IS NOT NULL;
CREATE INDEX mails_command_index ON mails (commandId, mailId)
    WHERE commandId IS NOT NULL;
CREATE INDEX mails_open_index ON mails (open, receivedAt, mailId)
    WHERE open IS NOT NULL AND receivedAt IS NOT NULL;

CREATE TABLE jobs (
    commandId  TEXT PRIMARY KEY NOT NULL,
    version    INTEGER NOT NULL,
    body       TEXT NOT NULL,
    projectKey TEXT AS (json_extract(body, '$.projectKey')),
    createdAt  TEXT AS (json_extract(body, '$.createdAt')),
    pending    TEXT AS (json_extract(body, '$.pending')),
    day        TEXT AS (json_extract(body, '$.day'))
);
CREATE INDEX jobs_project_index ON jobs (projectKey, createdAt, commandId)
    WHERE projectKey IS NOT NULL AND createdAt IS NOT NULL;
CREATE INDEX jobs_pending_index ON jobs (pending, createdAt, commandId)
    WHERE pending IS NOT NULL AND createdAt IS NOT NULL;
CREATE INDEX jobs_all_index ON jobs (day, createdAt, commandId)
    WHERE day IS NOT NULL AND createdAt IS NOT NULL;

CREATE TABLE projects (
    projectId TEXT PRIMARY KEY NOT NULL,
    version   INTEGER NOT NULL,
    body      TEXT NOT NULL
);

CREATE TABLE senders (
    address   TEXT NOT NULL,
    projectId TEXT NOT NULL,
    version   INTEGER NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (address, projectId)
);
CREATE INDEX senders_project_index ON senders (projectId, address);

CREATE TABLE outbox (
    dedupKey  TEXT PRIMARY KEY NOT NULL,
    version   INTEGER NOT NULL,
    body      TEXT NOT NULL,
    state     TEXT AS (json_extract(body, '$.state')),
    createdAt TEXT AS (json_extract(body, '$.createdAt'))
);
CREATE INDEX outbox_state_index ON outbox (state, createdAt, dedupKey)
    WHERE state IS NOT NULL AND createdAt IS NOT NULL;

CREATE TABLE access (
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    version INTEGER NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE limits (
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    version INTEGER NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);
