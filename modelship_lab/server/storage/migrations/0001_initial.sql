-- Times are UTC. Ids come from sequences. Tables that only grow and are filled in bulk have no
-- primary key: ids are in order, so DuckDB finds a row by its block ranges, and an index would
-- only slow the inserts.

CREATE TABLE lab (lab_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL);
INSERT INTO lab SELECT uuid()::VARCHAR, now()::TIMESTAMP;

-- The event log -------------------------------------------------------------------------------

CREATE SEQUENCE event_ids;
CREATE TABLE events (
    id BIGINT DEFAULT nextval('event_ids'),
    type VARCHAR NOT NULL,
    topic VARCHAR NOT NULL,
    payload JSON NOT NULL,
    author VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Labeling ------------------------------------------------------------------------------------

CREATE SEQUENCE project_ids;
CREATE TABLE projects (
    id BIGINT PRIMARY KEY DEFAULT nextval('project_ids'),
    name VARCHAR NOT NULL,
    task VARCHAR NOT NULL,
    classes VARCHAR[] NOT NULL,
    description VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE SEQUENCE import_ids;
CREATE TABLE imports (
    id BIGINT PRIMARY KEY DEFAULT nextval('import_ids'),
    project_id BIGINT NOT NULL,
    filename VARCHAR NOT NULL,
    options JSON NOT NULL,
    status VARCHAR NOT NULL,
    rows_read BIGINT NOT NULL DEFAULT 0,
    samples_added BIGINT NOT NULL DEFAULT 0,
    labels_added BIGINT NOT NULL DEFAULT 0,
    duplicates BIGINT NOT NULL DEFAULT 0,
    bad_rows BIGINT NOT NULL DEFAULT 0,
    problems JSON NOT NULL DEFAULT '[]',
    error VARCHAR NOT NULL DEFAULT '',
    bytes_total BIGINT NOT NULL DEFAULT 0,
    author VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP
);

CREATE SEQUENCE sample_ids;
CREATE TABLE samples (
    id BIGINT NOT NULL DEFAULT nextval('sample_ids'),
    project_id BIGINT NOT NULL,
    import_id BIGINT NOT NULL,
    content_hash VARCHAR NOT NULL,
    text VARCHAR,
    image VARCHAR,
    fields JSON,
    created_at TIMESTAMP NOT NULL
);

-- One row for each sample that somebody has decided about; a sample without one is unlabeled.
CREATE TABLE sample_states (
    sample_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    status VARCHAR NOT NULL,
    label VARCHAR,
    label_id BIGINT NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

-- Append-only. An undo is a row of its own that names the decision it takes back.
CREATE SEQUENCE label_ids;
CREATE TABLE labels (
    id BIGINT NOT NULL DEFAULT nextval('label_ids'),
    project_id BIGINT NOT NULL,
    sample_id BIGINT NOT NULL,
    action VARCHAR NOT NULL,
    label VARCHAR,
    source VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    duration_ms BIGINT,
    key VARCHAR UNIQUE,
    undoes BIGINT,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE suggestions (
    project_id BIGINT NOT NULL,
    sample_id BIGINT NOT NULL,
    label VARCHAR NOT NULL,
    confidence DOUBLE NOT NULL,
    uncertainty DOUBLE NOT NULL,
    source VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE SEQUENCE snapshot_ids;
CREATE TABLE snapshots (
    id BIGINT PRIMARY KEY DEFAULT nextval('snapshot_ids'),
    project_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    task VARCHAR NOT NULL,
    classes VARCHAR[] NOT NULL,
    features VARCHAR[] NOT NULL,
    rows BIGINT NOT NULL,
    by_class JSON NOT NULL,
    digest VARCHAR NOT NULL,
    description VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Tracking ------------------------------------------------------------------------------------

CREATE SEQUENCE run_ids;
CREATE TABLE runs (
    id BIGINT PRIMARY KEY DEFAULT nextval('run_ids'),
    key VARCHAR,
    name VARCHAR NOT NULL,
    project_id BIGINT,
    recipe VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    params JSON NOT NULL,
    tags VARCHAR[] NOT NULL,
    notes VARCHAR NOT NULL DEFAULT '',
    snapshot_id BIGINT,
    environment JSON NOT NULL,
    summary JSON NOT NULL DEFAULT '{}',
    error VARCHAR NOT NULL DEFAULT '',
    bundle VARCHAR,
    stop_requested BOOLEAN NOT NULL DEFAULT false,
    author VARCHAR NOT NULL,
    started_at TIMESTAMP NOT NULL,
    ended_at TIMESTAMP,
    heartbeat_at TIMESTAMP NOT NULL
);

CREATE TABLE metrics (
    run_id BIGINT NOT NULL,
    name VARCHAR NOT NULL,
    step BIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    value DOUBLE NOT NULL,
    batch BIGINT NOT NULL
);

-- What each producer has had acknowledged, so that a batch sent again is stored once.
CREATE TABLE metric_streams (
    run_id BIGINT NOT NULL,
    producer VARCHAR NOT NULL,
    last_sequence BIGINT NOT NULL,
    batches BIGINT NOT NULL
);

CREATE SEQUENCE artifact_ids;
CREATE TABLE artifacts (
    id BIGINT PRIMARY KEY DEFAULT nextval('artifact_ids'),
    run_id BIGINT NOT NULL,
    name VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    digest VARCHAR NOT NULL,
    content_type VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Registry ------------------------------------------------------------------------------------

CREATE SEQUENCE model_ids;
CREATE TABLE models (
    id BIGINT PRIMARY KEY DEFAULT nextval('model_ids'),
    name VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE SEQUENCE model_version_ids;
CREATE TABLE model_versions (
    id BIGINT PRIMARY KEY DEFAULT nextval('model_version_ids'),
    model_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    run_id BIGINT NOT NULL,
    snapshot_id BIGINT,
    project_id BIGINT,
    bundle VARCHAR NOT NULL,
    manifest JSON NOT NULL,
    description VARCHAR NOT NULL,
    tags VARCHAR[] NOT NULL,
    author VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Append-only; the newest row of a version is its stage.
CREATE SEQUENCE stage_change_ids;
CREATE TABLE stage_changes (
    id BIGINT PRIMARY KEY DEFAULT nextval('stage_change_ids'),
    model_version_id BIGINT NOT NULL,
    stage VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Serving and monitoring ----------------------------------------------------------------------

CREATE SEQUENCE deployment_ids;
CREATE TABLE deployments (
    id BIGINT PRIMARY KEY DEFAULT nextval('deployment_ids'),
    name VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    current_version BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL DEFAULT false,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE SEQUENCE deployment_version_ids;
CREATE TABLE deployment_versions (
    id BIGINT PRIMARY KEY DEFAULT nextval('deployment_version_ids'),
    deployment_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    model_version_id BIGINT NOT NULL,
    timeout_s DOUBLE NOT NULL,
    max_batch BIGINT NOT NULL,
    max_queue BIGINT NOT NULL,
    status VARCHAR NOT NULL,
    address VARCHAR,
    pid BIGINT,
    restarts BIGINT NOT NULL DEFAULT 0,
    error VARCHAR NOT NULL DEFAULT '',
    cold_start_ms JSON NOT NULL DEFAULT '{}',
    author VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE TABLE deployment_seconds (
    deployment_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    requests BIGINT NOT NULL,
    errors BIGINT NOT NULL,
    rows BIGINT NOT NULL,
    latency_histogram BIGINT[] NOT NULL
);
