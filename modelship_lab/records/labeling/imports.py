"""Files on their way into a project."""

from typing import Literal

from modelship_lab.records.base import Record, UtcTime

ImportFormat = Literal["csv", "tsv", "json", "jsonl", "parquet", "arrow"]
ImportStatus = Literal["running", "finished", "failed"]


class ImportOptions(Record):
    """How the columns of an import are read.

    Text projects need `text`, image projects `image` (a column of encoded image bytes), tabular
    projects use every column except `label`, or only `features` when given.
    """

    format: ImportFormat
    text: str | None = None
    image: str | None = None
    features: tuple[str, ...] = ()
    label: str | None = None
    encoding: str = "utf-8"
    filename: str = ""


class RowProblem(Record):
    """One row that was not imported. Rows count from 1, the header not counted."""

    row: int
    reason: str


class Import(Record):
    """One import: its progress while it runs and its result afterwards."""

    id: int
    project_id: int
    filename: str
    status: ImportStatus
    rows_read: int
    samples_added: int
    labels_added: int
    duplicates: int
    bad_rows: int
    problems: tuple[RowProblem, ...]
    """The first 100 bad or duplicate rows."""
    error: str
    bytes_total: int
    created_at: UtcTime
    finished_at: UtcTime | None
