-- A series is a metric of a run in a context; its figures are kept up to date with its points.
CREATE SEQUENCE metric_series_ids;
CREATE TABLE metric_series (
    id INTEGER NOT NULL,
    run_id BIGINT NOT NULL,
    name VARCHAR NOT NULL,
    -- JSON with sorted keys and no blanks.
    context VARCHAR NOT NULL,
    points BIGINT NOT NULL,
    first_step BIGINT NOT NULL,
    last_step BIGINT NOT NULL,
    -- Of the newest point at the last step.
    last_time TIMESTAMP NOT NULL,
    last_value DOUBLE NOT NULL,
    -- Of the finite points.
    finite BIGINT NOT NULL,
    min DOUBLE,
    max DOUBLE,
    sum DOUBLE NOT NULL
);

ALTER TABLE metrics RENAME TO older_metrics;
CREATE TABLE metrics (
    series_id INTEGER NOT NULL,
    step BIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    value DOUBLE NOT NULL
);

-- Of points of one series and step the last one counts; not of those that were imported, or that came
-- from no producer: those need not have a step of their own.
CREATE TEMP TABLE kept_metrics AS
    SELECT older.rowid AS position FROM older_metrics older
    WHERE EXISTS (
        FROM metric_streams s
        WHERE s.run_id = older.run_id AND (s.producer = '' OR starts_with(s.producer, 'import-'))
    )
    UNION
    SELECT max(older.rowid) FROM older_metrics older GROUP BY older.run_id, older.name, older.step;

INSERT INTO metric_series
    SELECT nextval('metric_series_ids'), *
    FROM (
        SELECT run_id, name, '{}', count(*), min(step), max(step),
               last(time ORDER BY step, time, rowid), last(value ORDER BY step, time, rowid),
               count(*) FILTER (isfinite(value)), min(value) FILTER (isfinite(value)),
               max(value) FILTER (isfinite(value)), coalesce(sum(value) FILTER (isfinite(value)), 0)
        FROM older_metrics WHERE rowid IN (SELECT position FROM kept_metrics)
        GROUP BY run_id, name ORDER BY run_id, name
    );

INSERT INTO metrics
    SELECT s.id, older.step, older.time, older.value
    FROM older_metrics older JOIN metric_series s ON s.run_id = older.run_id AND s.name = older.name
    WHERE older.rowid IN (SELECT position FROM kept_metrics)
    ORDER BY older.rowid;

DROP TABLE kept_metrics;
DROP TABLE older_metrics;
-- What is stored is counted with the series.
ALTER TABLE metric_streams DROP COLUMN points;
