"""Metrics: points as they are logged, and series as they are read."""

import json
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelship_lab.records.base import Record, UtcTime

ContextText = Annotated[str, StringConstraints(max_length=100)]
ContextKey = Annotated[str, StringConstraints(min_length=1, max_length=100)]

Context = Annotated[dict[ContextKey, ContextText], Field(max_length=16)]
"""What else than its name tells a series from others of its run, e.g. `{"subset": "val", "rank": "0"}`."""


def context_text(context: dict[str, str]) -> str:
    """A context as it is stored and sent in columns: JSON with sorted keys and no blanks, `{}` for none."""
    return json.dumps(context, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def context_of(text: str) -> dict[str, str]:
    """The context that `context_text` wrote."""
    context: dict[str, str] = json.loads(text)
    return context


def label(name: str, context: dict[str, str]) -> str:
    """A series in one line, e.g. `loss` or `loss{subset=val}`."""
    words = ", ".join(f"{key}={value}" for key, value in sorted(context.items()))
    return f"{name}{{{words}}}" if words else name


class MetricPoint(Record):
    name: str = Field(min_length=1, max_length=250)
    context: Context = {}
    value: float = Field(allow_inf_nan=True)
    step: int = Field(default=0, ge=-(1 << 63), lt=1 << 63)
    time: UtcTime | None = None


class MetricPoints(Record):
    points: tuple[MetricPoint, ...] = Field(max_length=100_000)


OnDuplicate = Literal["replace", "keep"]
"""What becomes of a stored point whose series and step come again: the last one counts, or all are kept."""


Mode = Literal["min", "max"]
"""Which end of a metric is the best."""


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
    """What became of one series of a run."""

    name: str
    context: Context
    last: float | None
    """The value at the greatest step; None when it is not finite."""
    last_step: int
    """The greatest step."""
    last_time: UtcTime
    min: float | None
    """Of the finite points; None when there are none."""
    max: float | None
    mean: float | None
    count: int
    """Of all points."""
    first_step: int
    """The smallest step."""


class NonFinite(Record):
    """A point that is no number, which JSON cannot say and a line cannot show."""

    step: int
    time: float
    """Seconds since the Unix epoch."""
    kind: Literal["nan", "inf", "-inf"]


class Series(Record):
    """The points of one metric of a run in one context, in the order of what they are asked over (x).

    When there are more of them than were asked for they are `reduced`: cut into pieces of equal
    width over x, each of which tells the first of its points, their mean, smallest, largest and number.
    """

    name: str
    context: Context = {}
    steps: tuple[int, ...]
    times: tuple[float, ...]
    """Seconds since the Unix epoch."""
    values: tuple[float | None, ...]
    """None: not finite, or no point of the piece is. Of a piece: the mean of the finite ones."""
    x: tuple[float, ...] | None = None
    """Where each stands, if that is neither its step nor its time."""
    low: tuple[float | None, ...] | None = None
    """Of a piece: the smallest finite value."""
    high: tuple[float | None, ...] | None = None
    counts: tuple[int, ...] | None = None
    """Of a piece: its points."""
    nonfinite: tuple[NonFinite, ...] = ()
    """The first points that are not finite."""
    nonfinite_count: int = 0
    """Of all that are not finite."""
    points: int
    """How many are stored in the range that was asked for."""
    reduced: bool = False

    @property
    def label(self) -> str:
        """Its name with its context, e.g. `loss` or `loss{subset=val}`."""
        return label(self.name, self.context)


class Metrics(Record):
    series: tuple[Series, ...]
    """By name, then context."""
    sequence: int
    """Number of the newest batch of this run that is in here."""
