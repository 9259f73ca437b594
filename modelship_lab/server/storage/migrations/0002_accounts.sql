-- Accounts and their credentials ----------------------------------------------------------------

CREATE SEQUENCE account_ids;
CREATE TABLE accounts (
    id BIGINT PRIMARY KEY DEFAULT nextval('account_ids'),
    username VARCHAR NOT NULL,
    email VARCHAR,
    full_name VARCHAR NOT NULL DEFAULT '',
    -- argon2id; without one nobody logs in with a password.
    password_hash VARCHAR,
    permissions VARCHAR[] NOT NULL,
    -- The user of a JupyterHub that this account belongs to.
    identity VARCHAR,
    is_active BOOLEAN NOT NULL DEFAULT true,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
-- The owner: Jupyter's own identity and the lab's token.
INSERT INTO accounts (username, permissions, created_at, updated_at)
    SELECT 'owner',
           ['read', 'write', 'label', 'train', 'export', 'register', 'deploy', 'deploy_code', 'admin'],
           now()::TIMESTAMP, now()::TIMESTAMP;

-- A login, until it ends. Only the refresh token named last counts; an older one ends the session.
CREATE TABLE sessions (
    id VARCHAR NOT NULL,
    account_id BIGINT NOT NULL,
    refresh_id VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    revoked_at TIMESTAMP
);

CREATE SEQUENCE api_key_ids;
CREATE TABLE api_keys (
    id BIGINT PRIMARY KEY DEFAULT nextval('api_key_ids'),
    account_id BIGINT NOT NULL,
    name VARCHAR NOT NULL,
    -- Its first characters, to recognize it by, and its SHA-256.
    prefix VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    permissions VARCHAR[] NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP,
    last_used_at TIMESTAMP,
    revoked_at TIMESTAMP
);

-- Append-only: grants are positive, charges negative; the sum is what an account has.
CREATE SEQUENCE credit_entry_ids;
CREATE TABLE credit_entries (
    id BIGINT PRIMARY KEY DEFAULT nextval('credit_entry_ids'),
    account_id BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    reason VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- What belongs to whom --------------------------------------------------------------------------
-- What was there before belongs to the owner.

ALTER TABLE projects ADD COLUMN owner_id BIGINT DEFAULT 1;
ALTER TABLE projects ADD COLUMN is_public BOOLEAN DEFAULT false;
ALTER TABLE runs ADD COLUMN owner_id BIGINT DEFAULT 1;
ALTER TABLE runs ADD COLUMN updated_at TIMESTAMP;
-- Whether its process says regularly that it lives, so that its silence means its death.
ALTER TABLE runs ADD COLUMN heartbeats BOOLEAN DEFAULT true;
UPDATE runs SET updated_at = coalesce(ended_at, started_at);
ALTER TABLE models ADD COLUMN owner_id BIGINT DEFAULT 1;
ALTER TABLE models ADD COLUMN is_public BOOLEAN DEFAULT false;
ALTER TABLE deployments ADD COLUMN owner_id BIGINT DEFAULT 1;
ALTER TABLE deployments ADD COLUMN is_public BOOLEAN DEFAULT false;
-- How many points of a run each producer has sent: the number of a point is its place in its run.
ALTER TABLE metric_streams ADD COLUMN points BIGINT DEFAULT 0;
-- Earlier runs did not count by producer: all of a run's points are counted with its first one.
UPDATE metric_streams SET points = counted.points
    FROM (SELECT run_id, count(*) AS points FROM metrics GROUP BY run_id) counted
    WHERE counted.run_id = metric_streams.run_id
      AND metric_streams.producer = (SELECT min(s.producer) FROM metric_streams s
                                     WHERE s.run_id = metric_streams.run_id);

-- A project need not be one of labeling: then it has no task and no classes.
ALTER TABLE projects ALTER COLUMN task DROP NOT NULL;

-- Who did it, with which credential, from where, in which request; and whose the thing is.
ALTER TABLE events ADD COLUMN owner_id BIGINT DEFAULT 1;
ALTER TABLE events ADD COLUMN account_id BIGINT DEFAULT 1;
ALTER TABLE events ADD COLUMN credential VARCHAR DEFAULT '';
ALTER TABLE events ADD COLUMN address VARCHAR DEFAULT '';
ALTER TABLE events ADD COLUMN request_id VARCHAR DEFAULT '';

-- Webhooks --------------------------------------------------------------------------------------

CREATE SEQUENCE webhook_ids;
CREATE TABLE webhooks (
    id BIGINT PRIMARY KEY DEFAULT nextval('webhook_ids'),
    owner_id BIGINT NOT NULL,
    -- The API whose event names and payloads it gets.
    api VARCHAR NOT NULL,
    url VARCHAR NOT NULL,
    events VARCHAR[] NOT NULL,
    secret VARCHAR NOT NULL,
    -- Whether somebody with an administrator's rights made it: then it hears of what belongs to others, too,
    -- and its target may be on a private network.
    made_by_admin BOOLEAN NOT NULL,
    -- Why it gets nothing any more; empty while it does.
    disabled_reason VARCHAR NOT NULL DEFAULT '',
    deleted BOOLEAN NOT NULL DEFAULT false,
    created_at TIMESTAMP NOT NULL
);

-- Written with the event that it tells of; in the order of ids for each webhook.
CREATE SEQUENCE delivery_ids;
CREATE TABLE deliveries (
    id BIGINT NOT NULL DEFAULT nextval('delivery_ids'),
    webhook_id BIGINT NOT NULL,
    event_id BIGINT,
    event VARCHAR NOT NULL,
    payload JSON NOT NULL,
    status VARCHAR NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    created_at TIMESTAMP NOT NULL,
    next_attempt_at TIMESTAMP,
    finished_at TIMESTAMP,
    response_status BIGINT,
    error VARCHAR NOT NULL DEFAULT '',
    duration_ms DOUBLE
);
