-- Labeling in depth ------------------------------------------------------------------------------

ALTER TABLE projects ADD COLUMN multilabel BOOLEAN DEFAULT false;
-- `LabelingSettings`; what is not named has its default.
ALTER TABLE projects ADD COLUMN settings JSON DEFAULT '{}';
-- Accounts that may label in it besides its owner.
ALTER TABLE projects ADD COLUMN labeler_ids BIGINT[] DEFAULT [];

-- What belongs together, and what a sample was called where it came from.
ALTER TABLE samples ADD COLUMN group_name VARCHAR;
ALTER TABLE samples ADD COLUMN name VARCHAR;
ALTER TABLE samples ADD COLUMN split VARCHAR;
-- Of an image, in pixels; NULL when it was imported before these were kept.
ALTER TABLE samples ADD COLUMN width INTEGER;
ALTER TABLE samples ADD COLUMN height INTEGER;

-- `label` is a single class; whatever else is said (a set of classes, spans, boxes) stands in `content`, and
-- `classes` are those that occur in it.
ALTER TABLE labels ADD COLUMN content JSON;
ALTER TABLE labels ADD COLUMN note VARCHAR DEFAULT '';
-- What made an automatic label, and how sure it was.
ALTER TABLE labels ADD COLUMN origin VARCHAR DEFAULT '';
ALTER TABLE labels ADD COLUMN confidence DOUBLE;
-- Why the sample was handed out.
ALTER TABLE labels ADD COLUMN purpose VARCHAR DEFAULT 'label';
-- What was saved in one act, and is undone together.
ALTER TABLE labels ADD COLUMN batch VARCHAR;

ALTER TABLE sample_states ADD COLUMN content JSON;
ALTER TABLE sample_states ADD COLUMN classes VARCHAR[];
-- As in the label that counts, so that samples are filtered without it.
ALTER TABLE sample_states ADD COLUMN source VARCHAR;
ALTER TABLE sample_states ADD COLUMN origin VARCHAR DEFAULT '';
ALTER TABLE sample_states ADD COLUMN author VARCHAR;
UPDATE sample_states
    SET source = l.source, author = l.author,
        -- What a model or rule has labeled was counted with what people have labeled.
        status = CASE WHEN status = 'labeled' AND l.source IN ('rule', 'model') THEN 'auto' ELSE status END
    FROM labels l WHERE l.id = sample_states.label_id;

ALTER TABLE suggestions ALTER COLUMN label DROP NOT NULL;
ALTER TABLE suggestions ADD COLUMN content JSON;
ALTER TABLE suggestions ADD COLUMN classes VARCHAR[];
ALTER TABLE suggestions ADD COLUMN margin DOUBLE;
ALTER TABLE suggestions ADD COLUMN entropy DOUBLE;

-- The newest note of each sample that has one.
CREATE TABLE sample_notes (
    sample_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    note VARCHAR NOT NULL,
    label_id BIGINT NOT NULL
);

-- Known answers, by which labelers are measured.
CREATE TABLE gold (
    sample_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    label VARCHAR,
    content JSON,
    -- The decision that says so.
    label_id BIGINT NOT NULL,
    author VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Samples that somebody is to look at (again), and why.
CREATE SEQUENCE request_ids;
CREATE TABLE requests (
    id BIGINT NOT NULL DEFAULT nextval('request_ids'),
    sample_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    purpose VARCHAR NOT NULL,
    detail VARCHAR NOT NULL,
    -- Who is not to be asked: those who have decided about it already; or the only one who is.
    not_by VARCHAR[] NOT NULL,
    only_by VARCHAR,
    -- What was asked for in one act; empty for what the project's settings ask for.
    batch VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    -- The decision that answers it: it waits again when that is undone.
    label_id BIGINT
);

CREATE SEQUENCE selection_ids;
CREATE TABLE selections (
    id BIGINT NOT NULL DEFAULT nextval('selection_ids'),
    project_id BIGINT NOT NULL,
    name VARCHAR NOT NULL,
    -- `SampleFilter`
    samples JSON NOT NULL,
    count BIGINT NOT NULL,
    author VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);
CREATE TABLE selection_samples (selection_id BIGINT NOT NULL, project_id BIGINT NOT NULL, sample_id BIGINT NOT NULL);

-- What was found by counting words or by an encoder, and where it lies on the map.
CREATE TABLE embeddings (
    sample_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    encoder VARCHAR NOT NULL,
    vector FLOAT[] NOT NULL,
    x FLOAT,
    y FLOAT
);

-- Work that goes on in a process of its own.
CREATE SEQUENCE job_ids;
CREATE TABLE jobs (
    id BIGINT PRIMARY KEY DEFAULT nextval('job_ids'),
    kind VARCHAR NOT NULL,
    project_id BIGINT,
    owner_id BIGINT NOT NULL,
    author VARCHAR NOT NULL,
    params JSON NOT NULL,
    status VARCHAR NOT NULL,
    progress DOUBLE NOT NULL DEFAULT 0,
    message VARCHAR NOT NULL DEFAULT '',
    result JSON NOT NULL DEFAULT '{}',
    error VARCHAR NOT NULL DEFAULT '',
    created_at TIMESTAMP NOT NULL,
    started_at TIMESTAMP,
    ended_at TIMESTAMP
);

-- How it was made: which labels went in, and how it was split.
ALTER TABLE snapshots ADD COLUMN options JSON DEFAULT '{}';
ALTER TABLE snapshots ADD COLUMN multilabel BOOLEAN DEFAULT false;

ALTER TABLE imports ADD COLUMN suggestions_added BIGINT DEFAULT 0;
