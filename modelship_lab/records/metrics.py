"""Metrics: points as they are logged, and series as they are read."""

from pydantic import Field

from modelship_lab.records.base import Record, UtcTime


class MetricPoint(Record):
    name: str = Field(min_length=1, max_length=250)
    value: float = Field(allow_inf_nan=True)
    step: int = Field(default=0, ge=-(1 << 63), lt=1 << 63)
    time: UtcTime | None = None


class MetricPoints(Record):
    points: tuple[MetricPoint, ...] = Field(max_length=100_000)


class LoggedMetrics(Record):
    """The answer to a batch of metrics, given after it is committed."""

    accepted: int
    duplicate: bool
    """True when this batch was stored by an earlier request."""
    stop: bool
    """True when somebody asked the run to stop."""
    first_number: int | None
    """The number of its first point among all points of the run, which count from 1; None if none was stored."""


class NumberedPoint(MetricPoint):
    """A stored point with its number: its place in its run by arrival, from 1."""

    number: int
    time: UtcTime


class MetricSummary(Record):
    """What became of one metric of a run."""

    name: str
    last: float
    min: float | None
    """Of the finite points; None when there are none."""
    max: float | None
    mean: float | None
    count: int
    """Of all points."""


class Series(Record):
    """The points of one metric in order of arrival; `reduced` when not all of them are here."""

    steps: tuple[int, ...]
    values: tuple[float | None, ...]
    times: tuple[float, ...]
    """Seconds since the Unix epoch."""
    reduced: bool


class Metrics(Record):
    series: dict[str, Series]
    sequence: int
    """Number of the newest batch of this run that is in here."""
