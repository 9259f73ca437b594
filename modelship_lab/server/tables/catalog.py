"""The tables that the lab hands out: their columns, where these stand, and who may see which rows."""

from dataclasses import dataclass

from modelship_lab.records.tables import LabTable, TableColumn

NOBODY_ELSE = "false"
"""For what is never public."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        expression: its value in SQL over the table's source.
    """

    name: str
    type: str
    expression: str
    description: str = ""


@dataclass(frozen=True)
class Source:
    """A table and how its rows are found.

    Args:
        source: what stands behind FROM.
        owner: the SQL expression of the account that a row belongs to.
        public: the SQL expression that is true for what everybody may see.
        within: a condition with `{visible}` in it, which is `visible` over `owner` and `public`;
            left out for who sees everything.
        where: a condition that holds for everybody.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    source: str
    owner: str
    public: str
    within: str = "{visible}"
    where: str = ""

    def column(self, name: str) -> Column | None:
        """The column of this name."""
        return next((one for one in self.columns if one.name == name), None)

    @property
    def record(self) -> LabTable:
        """What is told of it."""
        return LabTable(
            name=self.name,
            description=self.description,
            columns=tuple(
                TableColumn(name=one.name, type=one.type, description=one.description) for one in self.columns
            ),
        )


def _columns(alias: str, *columns: tuple[str, str] | tuple[str, str, str]) -> tuple[Column, ...]:
    """Columns that are called in the table as they are in the database."""
    return tuple(Column(name, type, f"{alias}.{name}", *more) for name, type, *more in columns)


_IN_PROJECT = "{alias}.project_id IN (SELECT p.id FROM projects p WHERE {{visible}})"
_IN_RUN = "{alias}.run_id IN (SELECT r.id FROM runs r LEFT JOIN projects p ON p.id = r.project_id WHERE {{visible}})"
_IS_PUBLIC = "coalesce(p.is_public, false)"
"""A run is as public as its project."""

_STAGE = "(SELECT arg_max(s.stage, s.id) FROM stage_changes s WHERE s.model_version_id = v.id)"

_NUMBER = "({table}.content->>'number')::DOUBLE"

_CONTEXT = ("context", "VARCHAR", "What else tells its series, as JSON: context->>'subset'.")

TABLES: dict[str, Source] = {
    one.name: one
    for one in (
        Source(
            "projects",
            "Projects.",
            _columns(
                "p",
                ("id", "BIGINT"),
                ("name", "VARCHAR"),
                ("task", "VARCHAR", "What is labeled; NULL in a project that only holds runs."),
                ("classes", "VARCHAR[]"),
                ("multilabel", "BOOLEAN", "Any number of classes may apply to a sample."),
                ("description", "VARCHAR"),
                ("owner_id", "BIGINT", "The account that it belongs to."),
                ("is_public", "BOOLEAN"),
                ("created_at", "TIMESTAMP"),
                ("updated_at", "TIMESTAMP"),
            ),
            "projects p",
            "p.owner_id",
            "p.is_public",
        ),
        Source(
            "samples",
            "Samples, with what was decided about each.",
            (
                *_columns(
                    "s",
                    ("id", "BIGINT"),
                    ("project_id", "BIGINT"),
                    ("text", "VARCHAR"),
                    ("image", "VARCHAR", "The digest of the encoded image."),
                    ("fields", "VARCHAR", "The features of a row of a table, as JSON: fields->>'age'."),
                    ("name", "VARCHAR", "What it was called where it came from."),
                    ("split", "VARCHAR", "The part of the data that it came with."),
                ),
                Column("group", "VARCHAR", "s.group_name", "What belongs together, and is never split."),
                Column("status", "VARCHAR", "coalesce(st.status, 'unlabeled')"),
                Column(
                    "label", "VARCHAR", "st.label", "The class that counts now, where there is one for each."
                ),
                Column(
                    "content",
                    "VARCHAR",
                    "st.content",
                    "A set of classes, spans or boxes that counts now, as JSON.",
                ),
                Column("number", "DOUBLE", _NUMBER.format(table="st"), "The number that counts now."),
                Column("source", "VARCHAR", "st.source", "Who decided: human, import, gold, rule or model."),
                Column("suggested", "VARCHAR", "g.label", "The class that is suggested."),
                Column("suggested_number", "DOUBLE", _NUMBER.format(table="g")),
                Column("confidence", "DOUBLE", "g.confidence", "How sure the suggestion is."),
                Column("created_at", "TIMESTAMP", "s.created_at"),
            ),
            "samples s LEFT JOIN sample_states st ON st.sample_id = s.id "
            "LEFT JOIN suggestions g ON g.sample_id = s.id",
            "p.owner_id",
            "p.is_public",
            _IN_PROJECT.format(alias="s"),
        ),
        Source(
            "labels",
            "Every decision about a sample, the skipped ones and what was taken back, too.",
            (
                *_columns(
                    "l",
                    ("id", "BIGINT"),
                    ("project_id", "BIGINT"),
                    ("sample_id", "BIGINT"),
                    (
                        "action",
                        "VARCHAR",
                        "label, skip, flag or note; for an undo that of what it takes back.",
                    ),
                    ("label", "VARCHAR", "One class."),
                    ("content", "VARCHAR", "A set of classes, spans, boxes or a number, as JSON."),
                ),
                Column("number", "DOUBLE", _NUMBER.format(table="l"), "A number."),
                *_columns(
                    "l",
                    ("note", "VARCHAR", "Why it was skipped or flagged, or a note."),
                    ("source", "VARCHAR", "Who decided: human, import, gold, rule or model."),
                    ("origin", "VARCHAR", "The model version or rule that made an automatic label."),
                    ("confidence", "DOUBLE", "How sure that was."),
                    ("purpose", "VARCHAR", "Why the sample was handed out."),
                    ("batch", "VARCHAR", "What was saved in one act."),
                    ("author", "VARCHAR"),
                    ("duration_ms", "BIGINT"),
                    ("undoes", "BIGINT", "The id of the decision that an undo takes back."),
                    ("created_at", "TIMESTAMP"),
                ),
            ),
            "labels l",
            "p.owner_id",
            "p.is_public",
            _IN_PROJECT.format(alias="l"),
        ),
        Source(
            "snapshots",
            "Snapshots of projects.",
            _columns(
                "s",
                ("id", "BIGINT"),
                ("project_id", "BIGINT"),
                ("number", "BIGINT", "Its number in its project."),
                ("task", "VARCHAR"),
                ("classes", "VARCHAR[]"),
                ("features", "VARCHAR[]"),
                ("rows", "BIGINT"),
                ("by_class", "VARCHAR", "Rows of each class, as JSON."),
                ("digest", "VARCHAR"),
                ("description", "VARCHAR"),
                ("created_at", "TIMESTAMP"),
            ),
            "snapshots s",
            "p.owner_id",
            "p.is_public",
            _IN_PROJECT.format(alias="s"),
        ),
        Source(
            "runs",
            "Runs.",
            (
                *_columns("r", ("id", "BIGINT"), ("name", "VARCHAR"), ("project_id", "BIGINT")),
                Column("project", "VARCHAR", "p.name", "The name of its project."),
                *_columns(
                    "r",
                    ("recipe", "VARCHAR"),
                    ("status", "VARCHAR"),
                    ("params", "VARCHAR", "As JSON: params->>'learning_rate'; see the table params, too."),
                    ("summary", "VARCHAR", "Its final figures, as JSON: summary->>'val_loss'."),
                    ("tags", "VARCHAR[]"),
                    ("notes", "VARCHAR"),
                    ("snapshot_id", "BIGINT", "What it was trained on."),
                    ("error", "VARCHAR"),
                    ("parent_id", "BIGINT", "The run that it is a part of."),
                    ("run_group", "VARCHAR", "Its group; GROUP is a word of SQL."),
                    ("owner_id", "BIGINT", "The account that it belongs to."),
                    ("author", "VARCHAR"),
                    ("started_at", "TIMESTAMP"),
                    ("ended_at", "TIMESTAMP"),
                    ("heartbeat_at", "TIMESTAMP", "When it was last heard of."),
                ),
            ),
            "runs r LEFT JOIN projects p ON p.id = r.project_id",
            "r.owner_id",
            _IS_PUBLIC,
        ),
        Source(
            "params",
            "The parameters of runs, one a row; those that are None are in runs.params alone.",
            (
                *_columns("k", ("run_id", "BIGINT"), ("name", "VARCHAR")),
                Column("value", "VARCHAR", "k.text", "As text; what is no text is JSON: value::DOUBLE."),
            ),
            "run_values k",
            "r.owner_id",
            _IS_PUBLIC,
            _IN_RUN.format(alias="k"),
            where="k.kind = 'param'",
        ),
        Source(
            "metrics",
            "Every point of every metric of the runs.",
            (
                *_columns("s", ("run_id", "BIGINT"), ("name", "VARCHAR"), _CONTEXT),
                *_columns("m", ("step", "BIGINT"), ("time", "TIMESTAMP"), ("value", "DOUBLE")),
            ),
            "metrics m JOIN metric_series s ON s.id = m.series_id",
            "r.owner_id",
            _IS_PUBLIC,
            _IN_RUN.format(alias="s"),
        ),
        Source(
            "metric_summaries",
            "What became of each metric of the runs.",
            (
                *_columns("s", ("run_id", "BIGINT"), ("name", "VARCHAR"), _CONTEXT),
                Column("last", "DOUBLE", "s.last_value", "The value at the last step."),
                *_columns("s", ("last_step", "BIGINT", "The greatest step."), ("last_time", "TIMESTAMP")),
                *_columns("s", ("min", "DOUBLE", "Of the finite points."), ("max", "DOUBLE")),
                Column("mean", "DOUBLE", "CASE WHEN s.finite > 0 THEN s.sum / s.finite END"),
                Column("count", "BIGINT", "s.points", "Of all points."),
                *_columns("s", ("first_step", "BIGINT", "The smallest step.")),
            ),
            "metric_series s",
            "r.owner_id",
            _IS_PUBLIC,
            _IN_RUN.format(alias="s"),
        ),
        Source(
            "artifacts",
            "The files of the runs.",
            _columns(
                "a",
                ("id", "BIGINT"),
                ("run_id", "BIGINT"),
                ("name", "VARCHAR", "With its folders."),
                ("kind", "VARCHAR", "file, image, table, figure or text."),
                ("step", "BIGINT", "The position in the run that it belongs to."),
                ("caption", "VARCHAR"),
                ("size", "BIGINT", "In bytes."),
                ("digest", "VARCHAR", "The SHA-256 of its content."),
                ("content_type", "VARCHAR"),
                ("created_at", "TIMESTAMP"),
            ),
            "artifacts a",
            "r.owner_id",
            _IS_PUBLIC,
            _IN_RUN.format(alias="a"),
        ),
        Source(
            "models",
            "Registered models.",
            _columns(
                "m",
                ("id", "BIGINT"),
                ("name", "VARCHAR"),
                ("owner_id", "BIGINT", "The account that it belongs to."),
                ("is_public", "BOOLEAN"),
                ("created_at", "TIMESTAMP"),
            ),
            "models m",
            "m.owner_id",
            "m.is_public",
        ),
        Source(
            "model_versions",
            "Versions of models.",
            (
                *_columns("v", ("id", "BIGINT"), ("model_id", "BIGINT")),
                Column("model", "VARCHAR", "m.name", "The model's name."),
                *_columns(
                    "v",
                    ("version", "BIGINT"),
                    ("run_id", "BIGINT"),
                    ("snapshot_id", "BIGINT"),
                    ("project_id", "BIGINT"),
                ),
                Column("stage", "VARCHAR", _STAGE, "The stage that it is in now."),
                *_columns(
                    "v",
                    ("description", "VARCHAR"),
                    ("tags", "VARCHAR[]"),
                    ("author", "VARCHAR"),
                    ("created_at", "TIMESTAMP"),
                ),
            ),
            "model_versions v JOIN models m ON m.id = v.model_id",
            "m.owner_id",
            "m.is_public",
        ),
        Source(
            "stages",
            "The history of the stages of model versions; the newest of a version counts.",
            (
                Column("id", "BIGINT", "s.id"),
                Column("model_version_id", "BIGINT", "s.model_version_id"),
                Column("model", "VARCHAR", "m.name", "The model's name."),
                Column("version", "BIGINT", "v.version"),
                *_columns("s", ("stage", "VARCHAR"), ("author", "VARCHAR"), ("created_at", "TIMESTAMP")),
            ),
            "stage_changes s JOIN model_versions v ON v.id = s.model_version_id JOIN models m ON m.id = v.model_id",
            "m.owner_id",
            "m.is_public",
        ),
        Source(
            "deployments",
            "Living deployments, with the version that answers now.",
            (
                *_columns("d", ("id", "BIGINT"), ("name", "VARCHAR")),
                Column("version", "BIGINT", "d.current_version", "The version of the deployment."),
                Column("model_version_id", "BIGINT", "v.model_version_id"),
                *_columns(
                    "v",
                    ("status", "VARCHAR"),
                    ("restarts", "BIGINT"),
                    ("error", "VARCHAR"),
                    ("max_batch", "BIGINT"),
                    ("max_queue", "BIGINT"),
                    ("timeout_s", "DOUBLE"),
                ),
                *_columns(
                    "d",
                    ("owner_id", "BIGINT", "The account that it belongs to."),
                    ("is_public", "BOOLEAN"),
                    ("created_at", "TIMESTAMP"),
                    ("updated_at", "TIMESTAMP"),
                ),
            ),
            "deployments d JOIN deployment_versions v "
            "ON v.deployment_id = d.id AND v.version = d.current_version",
            "d.owner_id",
            "d.is_public",
            where="NOT d.deleted",
        ),
        Source(
            "deployment_metrics",
            "What each version of a deployment did in each second in which it was asked.",
            _columns(
                "t",
                ("deployment_id", "BIGINT"),
                ("version", "BIGINT", "The version of the deployment."),
                ("time", "TIMESTAMP", "The beginning of the second."),
                ("requests", "BIGINT"),
                ("errors", "BIGINT"),
                ("rows", "BIGINT"),
                (
                    "latency_histogram",
                    "BIGINT[]",
                    "Requests by latency: [i] is up to 0.1 * 10 ** ((i - 1) / 16) ms, the last one is above 100 s.",
                ),
            ),
            "deployment_seconds t",
            "d.owner_id",
            "d.is_public",
            "t.deployment_id IN (SELECT d.id FROM deployments d WHERE {visible})",
            where="t.deployment_id IN (SELECT d.id FROM deployments d WHERE NOT d.deleted)",
        ),
        Source(
            "events",
            "What happened in the lab to what is yours.",
            _columns(
                "e",
                ("id", "BIGINT"),
                ("type", "VARCHAR"),
                ("topic", "VARCHAR", "What it is about, e.g. run:12."),
                ("payload", "VARCHAR", "As JSON."),
                ("author", "VARCHAR"),
                ("created_at", "TIMESTAMP"),
            ),
            "events e",
            "e.owner_id",
            NOBODY_ELSE,
        ),
    )
}
"""All of them by name, in the order in which they are listed."""
