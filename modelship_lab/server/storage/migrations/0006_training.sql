-- Training in the background ---------------------------------------------------------------------

-- What a training logs to, and what an export is made of.
ALTER TABLE jobs ADD COLUMN run_id BIGINT;
-- The account that began it: the job may do no more than this account at any moment.
ALTER TABLE jobs ADD COLUMN author_id BIGINT;
ALTER TABLE jobs ADD COLUMN cancel_requested BOOLEAN DEFAULT false;
ALTER TABLE jobs ADD COLUMN epoch BIGINT;
ALTER TABLE jobs ADD COLUMN epochs BIGINT;
ALTER TABLE jobs ADD COLUMN step BIGINT;
ALTER TABLE jobs ADD COLUMN steps BIGINT;
ALTER TABLE jobs ADD COLUMN estimated_end_at TIMESTAMP;
-- Of the credential that its process has until it ends.
ALTER TABLE jobs ADD COLUMN token_digest VARCHAR;

-- Imports ----------------------------------------------------------------------------------------

-- What an import did to samples that were there already, and the labels that its predictions became.
ALTER TABLE imports ADD COLUMN auto_added BIGINT DEFAULT 0;
ALTER TABLE imports ADD COLUMN labels_changed BIGINT DEFAULT 0;
ALTER TABLE imports ADD COLUMN labels_kept BIGINT DEFAULT 0;

-- Small writes that are committed as one row, whatever tables they go to, until they are moved there together.
CREATE TABLE journal (id BIGINT NOT NULL, rows VARCHAR NOT NULL);
-- Rows of the journal that their table did not take, as JSON; nothing reads them but who mends that.
CREATE TABLE refused_rows (target VARCHAR NOT NULL, content VARCHAR NOT NULL, reason VARCHAR NOT NULL, refused_at TIMESTAMP);

-- Registry ---------------------------------------------------------------------------------------

-- Further facts of a version, and why it came into a stage.
ALTER TABLE model_versions ADD COLUMN metadata VARCHAR DEFAULT '{}';
ALTER TABLE stage_changes ADD COLUMN comment VARCHAR DEFAULT '';
-- Numbers that were given once are never given again: what a version was is in the history of others.
ALTER TABLE models ADD COLUMN last_version BIGINT DEFAULT 0;
