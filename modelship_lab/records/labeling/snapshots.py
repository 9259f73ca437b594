"""Immutable copies of a project's labels."""

from pydantic import Field

from modelship_lab.records.base import Record, Task, UtcTime


class NewSnapshot(Record):
    description: str = Field(default="", max_length=10_000)


class Snapshot(Record):
    """An immutable, numbered copy of a project's labels with their samples.

    Its file is an Arrow IPC file with the columns `sample_id` int64, `label` int32 (index into
    `classes`), `source` string, and `text` string, or `image` string (content address), or one
    column for each feature.
    """

    id: int
    project_id: int
    number: int
    task: Task
    classes: tuple[str, ...]
    features: tuple[str, ...]
    """The feature columns of a tabular snapshot."""
    rows: int
    by_class: dict[str, int]
    digest: str
    """SHA-256 of the file."""
    description: str
    created_at: UtcTime
