"""How things are put into words: titles, facts and tables; figures, times and previews."""

from dataclasses import dataclass
from datetime import datetime
from functools import singledispatch
from typing import Any

from modelship_lab.records.serving import Attribution, Prediction

MOST_ROWS = 20


@dataclass(frozen=True)
class Grid:
    """A table of text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Description:
    """A thing in words."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    grids: tuple[Grid, ...] = ()
    note: str = ""


@singledispatch
def describe(value: Any) -> Description:
    """A value in words.

    Raises:
        TypeError: it is nothing that a verb returns.
    """
    raise TypeError(f"A {type(value).__name__} is nothing that a verb returns.")


def can_describe(value: Any) -> bool:
    """Whether `describe` knows values of this kind."""
    return describe.dispatch(type(value)) is not describe.dispatch(object)


def number(value: float | None, digits: int = 4) -> str:
    """A figure for reading: four digits, and none of them for whole numbers."""
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.{digits}g}"


def moment(value: datetime | None) -> str:
    """A time for reading, in UTC."""
    return "–" if value is None else value.strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float | None) -> str:
    """A duration for reading."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def preview(text: str, length: int = 100) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def said(prediction: Prediction) -> str:
    """What a model has said: a class, several of them, or a number."""
    if isinstance(prediction.prediction, tuple):
        return ", ".join(prediction.prediction) or "none"
    return prediction.prediction if isinstance(prediction.prediction, str) else f"{prediction.prediction:.6g}"


def moved(attribution: Attribution) -> str:
    """What an explanation explains, from where to where it was moved."""
    if attribution.label:
        ends = f"from {attribution.base:.3f} to {attribution.probability:.3f}"
        return f"the probability of '{attribution.label}' {ends}"
    return f"the number from {attribution.base:.6g} to {attribution.probability:.6g}"


def frame_grid(frame: Any, most_rows: int) -> Grid:
    """The first rows of a polars frame for reading, without columns that say nothing in them."""
    rows = [tuple(_cell(value) for value in row) for row in frame.head(most_rows).iter_rows()]
    said = [index for index in range(frame.width) if any(row[index] for row in rows)]
    columns = tuple(frame.columns[index] for index in said)
    return Grid("", columns, tuple(tuple(row[index] for index in said) for row in rows))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, datetime):
        return moment(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
