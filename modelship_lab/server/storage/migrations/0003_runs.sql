-- Runs in runs, runs in groups, and which process executes a run.
ALTER TABLE runs ADD COLUMN parent_id BIGINT;
-- GROUP is a word of SQL.
ALTER TABLE runs ADD COLUMN run_group VARCHAR DEFAULT '';
ALTER TABLE runs ADD COLUMN process STRUCT(machine VARCHAR, pid BIGINT, started_at DOUBLE);

-- What a run has as parameters and final figures, once more and one by one: a table of ten thousand runs is
-- filtered by them in milliseconds, where their JSON takes a tenth of a second and more.
CREATE TABLE run_values (
    run_id BIGINT NOT NULL,
    -- param or summary
    kind VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    -- number, bool or text, which is what everything else is
    type VARCHAR NOT NULL,
    -- of a number; 0 or 1 of a bool
    number DOUBLE,
    -- as it is, or as JSON
    text VARCHAR NOT NULL
);
INSERT INTO run_values
    SELECT run_id, kind, key,
           CASE WHEN type = 'BOOLEAN' THEN 'bool'
                WHEN type IN ('DOUBLE', 'BIGINT', 'UBIGINT') THEN 'number' ELSE 'text' END,
           CASE WHEN type = 'BOOLEAN' THEN (value = 'true')::DOUBLE
                WHEN type IN ('DOUBLE', 'BIGINT', 'UBIGINT') THEN value::DOUBLE END,
           value->>'$'
    FROM (SELECT r.id AS run_id, 'param' AS kind, j.key, j.type, j.value FROM runs r, json_each(r.params) j
          UNION ALL
          SELECT r.id, 'summary', j.key, j.type, j.value FROM runs r, json_each(r.summary) j)
    WHERE type <> 'NULL' ORDER BY run_id;

-- There is one artifact for each run, name and step.
ALTER TABLE artifacts ADD COLUMN kind VARCHAR DEFAULT 'file';
ALTER TABLE artifacts ADD COLUMN step BIGINT;
ALTER TABLE artifacts ADD COLUMN caption VARCHAR DEFAULT '';
