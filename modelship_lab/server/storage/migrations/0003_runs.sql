-- Runs in runs, runs in groups, and which process executes a run.
ALTER TABLE runs ADD COLUMN parent_id BIGINT;
-- GROUP is a word of SQL.
ALTER TABLE runs ADD COLUMN run_group VARCHAR DEFAULT '';
ALTER TABLE runs ADD COLUMN process STRUCT(machine VARCHAR, pid BIGINT, started_at DOUBLE);

-- There is one artifact for each run, name and step.
ALTER TABLE artifacts ADD COLUMN kind VARCHAR DEFAULT 'file';
ALTER TABLE artifacts ADD COLUMN step BIGINT;
ALTER TABLE artifacts ADD COLUMN caption VARCHAR DEFAULT '';
