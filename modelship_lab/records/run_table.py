"""The table of runs: which columns there are, and rows of the runs that a filter lets through."""

from typing import Literal

from modelship_lab.records.base import Record, UtcTime
from modelship_lab.records.tracking import RunStatus

RunValue = int | float | bool | str | None

RunColumnKind = Literal["param", "metric", "summary"]


class RunColumn(Record):
    """A parameter, metric or final figure that some runs have."""

    name: str
    """As it is asked for, sorted by and written in a filter, e.g. `params.lr` or `metrics["val/loss"]`; a
    metric in a context is asked for as `metrics.loss{subset=val}`."""
    kind: RunColumnKind
    type: Literal["number", "text", "bool"]
    """`text` also where some runs have one type, and some another."""
    runs: int
    """How many runs have it."""
    min: float | None
    """Of the numbers; of a metric's last values."""
    max: float | None


class RunRow(Record):
    """One run, with what it has in the columns that were asked for."""

    id: int
    name: str
    status: RunStatus
    project: str | None
    recipe: str
    group: str
    parent_id: int | None
    children: int
    """How many runs it is the parent of."""
    tags: tuple[str, ...]
    started_at: UtcTime
    ended_at: UtcTime | None
    duration_s: float
    """Until now, if it goes on; until it was last heard of, if it cannot be reached."""
    values: dict[str, RunValue]
    """By the names of the columns; what is not finite is None, as what is missing."""


class RunRows(Record):
    items: tuple[RunRow, ...]
    total: int
    limit: int
    offset: int
