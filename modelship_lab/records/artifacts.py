"""Artifacts: the files of a run."""

from typing import Any, Literal

from modelship_lab.records.base import Record, UtcTime

ArtifactKind = Literal["file", "image", "table", "figure", "text"]
"""How it is shown; `table` is a Parquet file, `figure` a picture or a plotly figure as JSON."""

MAX_ARTIFACT_NAME = 500


class Artifact(Record):
    id: int
    run_id: int
    name: str
    """May have folders: `images/sample.png`."""
    size: int
    digest: str
    content_type: str
    kind: ArtifactKind
    step: int | None
    """The position in the run that it belongs to; there is one artifact for each name and step."""
    caption: str
    created_at: UtcTime


class TableRows(Record):
    """Some rows of an artifact that is a table."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    total: int
    """Of all rows of the table."""
