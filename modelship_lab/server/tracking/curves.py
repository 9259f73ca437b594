"""Series over an axis: every point of a few, or pieces of equal width of many, in which no spike disappears.

All series of a run are read by two or three queries, and written as JSON from whole columns: a run may
have a hundred series of a million points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.metrics import context_of
from modelship_lab.server.storage.database import Cursor, placeholders

MAX_NONFINITE = 100
"""Points of a series that are not finite and are named one by one."""

MAX_TOLD = 5_000_000
"""Points of all series in one answer: of very many series there are fewer each than were asked for."""

DIGITS = 7
"""Significant digits of the figures of a piece."""

_BIGINT = (-(1 << 63), (1 << 63) - 1)
_EXACT_POWERS = 22
"""Up to this one a power of ten is a float exactly."""

Columns = dict[str, NDArray[Any]]
Series = dict[str, Any]


@dataclass(frozen=True)
class Axis:
    """What series are asked over.

    Args:
        x: `step`, `time`, or `metric:NAME` for the value of another metric at the same step.
        start: the least that is wanted: a step, seconds since the Unix epoch, or a value.
        end: the most.

    Raises:
        InvalidInput: there is no such axis.
    """

    x: str = "step"
    start: float | None = None
    end: float | None = None

    PLACES: ClassVar[dict[str, str]] = {"step": "m.step", "time": "epoch_us(m.time)"}

    def __post_init__(self) -> None:
        if self.x not in self.PLACES and not self.metric:
            raise InvalidInput(
                f"There is no axis '{self.x[:80]}': it is step, time, or metric:NAME.",
                [{"field": "x", "reason": "step, time or metric:NAME"}],
            )

    @property
    def metric(self) -> str:
        """The name of the metric that it is; empty when it is none."""
        return self.x.removeprefix("metric:") if self.x.startswith("metric:") else ""

    @property
    def place(self) -> str:
        """Where a point stands on it, in SQL."""
        return self.PLACES.get(self.x, "o.value")

    @property
    def is_whole(self) -> bool:
        """Whether all points are wanted over their steps: how many and where they are is known without looking."""
        return self.x == "step" and self.start is None and self.end is None

    def within(self) -> tuple[str, list[Any]]:
        """The condition of standing in the asked range, to be added to others, and its parameters."""
        column = "m.time" if self.x == "time" else self.place
        conditions: list[str] = []
        parameters: list[Any] = []
        for end, operator, rounded in ((self.start, ">=", math.ceil), (self.end, "<=", math.floor)):
            if end is not None:
                conditions.append(f"AND {column} {operator} ?")
                if self.x == "time":
                    parameters.append(_moment(end))
                elif self.x == "step":
                    parameters.append(min(max(rounded(end), _BIGINT[0]), _BIGINT[1]))
                else:
                    parameters.append(end)
        if self.metric:
            conditions.append("AND isfinite(o.value)")
        return " ".join(conditions), parameters


def series_of(cursor: Cursor, run_id: int, names: Sequence[str]) -> list[Series]:
    """The series of a run by name and context, with what is known of their points.

    Args:
        names: only those of these metrics; empty: all.
    """
    where = f"AND name IN ({placeholders(names)})" if names else ""
    return cursor.rows(
        "SELECT id, name, context, points, finite, first_step AS low, last_step AS high "
        f"FROM metric_series WHERE run_id = ? {where} ORDER BY name, nullif(context, '{{}}') NULLS FIRST",
        run_id,
        *names,
    )


def among(ids: Sequence[int]) -> str:
    """The condition of being a point of these series. Numbers in the text let DuckDB skip what has none of them."""
    return f"series_id IN ({', '.join(map(str, ids))})" if ids else "false"


def curves(cursor: Cursor, run_id: int, names: Sequence[str], max_points: int, axis: Axis) -> bytes:
    """The series of a run, as a record `Metrics` in JSON; to be called within a snapshot.

    Args:
        max_points: a series with more of them in the asked range is reduced to as many pieces at most.
    """
    sequence = cursor.value(
        "SELECT coalesce(sum(batches), 0)::BIGINT FROM metric_streams WHERE run_id = ?", run_id
    )
    series = series_of(cursor, run_id, names)
    max_points = max(min(max_points, MAX_TOLD // max(len(series), 1)), 2)
    source, pairs = "metrics m", {}
    if axis.metric:
        source, pairs = _BESIDE, {"pairs": _pairs(cursor, run_id, axis.metric, series)}
    with cursor.registered(pairs):
        reading = _Reading(cursor, axis, source)
        found = series if axis.is_whole else reading.extents(series)
        few = [one for one in found if one["points"] <= max_points]
        many = [one for one in found if one["points"] > max_points]
        told = {**reading.raw(few), **reading.reduced(many, max_points)}
    shown = [told.get(one["id"]) or {**_shown(one), **_NOTHING} for one in series]
    return orjson.dumps({"series": shown, "sequence": sequence}, option=orjson.OPT_SERIALIZE_NUMPY)


_BESIDE = """metrics m JOIN (
    SELECT p.id, a.step, last(a.value ORDER BY a.rowid) AS value
    FROM metrics a JOIN pairs p ON p.other = a.series_id GROUP BY p.id, a.step
) o ON o.id = m.series_id AND o.step = m.step"""

_NUMBER = "CASE WHEN isfinite(m.value) THEN m.value END"

_NOTHING: Series = {
    "steps": [],
    "times": [],
    "values": [],
    "x": None,
    "low": None,
    "high": None,
    "counts": None,
    "nonfinite": [],
    "nonfinite_count": 0,
    "points": 0,
    "reduced": False,
}


def _pairs(cursor: Cursor, run_id: int, metric: str, series: list[Series]) -> pa.Table:
    """For each series the one of the metric in the same context, else without a context, where there is one.

    An epoch or a learning rate is logged once for training and validation.
    """
    others = {one["context"]: one["id"] for one in series_of(cursor, run_id, (metric,))}
    beside = [(one["id"], others.get(one["context"], others.get("{}"))) for one in series]
    found = [(one, other) for one, other in beside if other is not None]
    return pa.table(
        {
            "id": pa.array([one for one, _ in found], pa.int32()),
            "other": pa.array([other for _, other in found], pa.int32()),
        }
    )


@dataclass(frozen=True)
class _Reading:
    """Queries over an axis.

    Args:
        source: where points come from, in SQL: `m`, and for the axis of a metric `o` beside it.
    """

    cursor: Cursor
    axis: Axis
    source: str

    def extents(self, series: list[Series]) -> list[Series]:
        """The series that have points in the asked range, with how many these are and where they begin and end."""
        within, parameters = self.axis.within()
        place = self.axis.place
        rows = self.cursor.rows(
            f"SELECT m.series_id AS id, count(*) AS points, count({_NUMBER}) AS finite, "
            f"min({place}) AS low, max({place}) AS high FROM {self.source} "
            f"WHERE {among([one['id'] for one in series])} {within} GROUP BY m.series_id",
            *parameters,
        )
        known = {one["id"]: one for one in series}
        return [{**known[row["id"]], **row} for row in rows]

    def raw(self, series: list[Series]) -> dict[int, Series]:
        """Every point of these series, by their ids."""
        within, parameters = self.axis.within()
        place = self.axis.place
        points = self._columns(
            f"SELECT m.series_id AS id, m.step AS steps, epoch_us(m.time) AS times, m.value AS values, "
            f"{place}::DOUBLE AS x FROM {self.source} "
            f"WHERE {among([one['id'] for one in series])} {within} ORDER BY m.series_id, {place}, m.rowid",
            *parameters,
        )
        told = {}
        for one, part in _parts(series, points):
            times = part["times"] / 1e6
            odd = np.flatnonzero(~np.isfinite(part["values"]))
            told[one["id"]] = {
                **_shown(one),
                **_NOTHING,
                "steps": part["steps"],
                "times": times,
                "values": part["values"],
                "x": part["x"] if self.axis.metric else None,
                "nonfinite": [
                    _nonfinite(part["steps"][at], times[at], part["values"][at]) for at in odd[:MAX_NONFINITE]
                ],
                "nonfinite_count": len(odd),
                "points": len(times),
            }
        return told

    def reduced(self, series: list[Series], pieces: int) -> dict[int, Series]:
        """These series in pieces of equal width, by their ids."""
        if not series:
            return {}
        within, parameters = self.axis.within()
        place, cuts = self._cut(series, pieces)
        with self.cursor.registered({"cuts": cuts} if len(series) > 1 else {}):
            points = self._columns(
                f"SELECT m.series_id AS id, {place} AS piece, {self._firsts()}, avg({_NUMBER}) AS values, "
                f"min({_NUMBER}) AS low, max({_NUMBER}) AS high, count(*) AS counts FROM {self.source} "
                f"{'JOIN cuts ON cuts.id = m.series_id' if len(series) > 1 else ''} "
                f"WHERE {among([one['id'] for one in series])} {within} GROUP BY ALL ORDER BY ALL",
                *parameters,
            )
        odd = self._nonfinite([one["id"] for one in series if one["finite"] < one["points"]])
        told = {}
        for one, part in _parts(series, points):
            told[one["id"]] = {
                **_shown(one),
                "steps": part["steps"],
                "times": part["times"] // 1000 / 1e3,
                **{name: _rounded(part[name]) for name in ("values", "low", "high")},
                "x": _rounded(part["x"]) if self.axis.metric else None,
                "counts": part["counts"],
                "nonfinite": odd.get(one["id"], []),
                "nonfinite_count": one["points"] - one["finite"],
                "points": one["points"],
                "reduced": True,
            }
        return told

    def _cut(self, series: list[Series], pieces: int) -> tuple[str, pa.Table]:
        """In which piece a point is, in SQL, and for several series where each is cut.

        Whole numbers are cut by a whole number: that is what DuckDB groups by fast.
        """
        if not self.axis.metric and all(one["high"] - one["low"] < 1 << 62 for one in series):
            low = [one["low"] for one in series]
            width: list[Any] = [(one["high"] - one["low"]) // pieces + 1 for one in series]
            cut = f"(({self.axis.place} - {{low}}) // {{width}})::INTEGER"
        else:
            # Halves, as the difference of two floats may be none.
            low = [one["low"] / 2 for one in series]
            width = [(one["high"] / 2 - one["low"] / 2) / pieces or 1.0 for one in series]
            cut = (
                f"least(floor(({self.axis.place}::DOUBLE / 2 - {{low}}::DOUBLE) / {{width}}::DOUBLE), "
                f"{pieces - 1})::INTEGER"
            )
        if len(series) == 1:
            return cut.format(low=repr(low[0]), width=repr(width[0])), pa.table({})
        ids = pa.array([one["id"] for one in series], pa.int32())
        return cut.format(low="cuts.low", width="cuts.width"), pa.table(
            {"id": ids, "low": low, "width": width}
        )

    def _firsts(self) -> str:
        """Step, time and place of the first point of a piece, in SQL."""
        if self.axis.x == "step":
            return "min(m.step) AS steps, epoch_us(arg_min(m.time, m.step)) AS times"
        if self.axis.x == "time":
            return "arg_min(m.step, m.time) AS steps, epoch_us(min(m.time)) AS times"
        return "arg_min(m.step, o.value) AS steps, epoch_us(arg_min(m.time, o.value)) AS times, min(o.value) AS x"

    def _nonfinite(self, ids: list[int]) -> dict[int, list[Series]]:
        """The first points of these series that are not finite."""
        found: dict[int, list[Series]] = {}
        if ids:
            within, parameters = self.axis.within()
            rows = self.cursor.rows(
                f"SELECT m.series_id AS id, m.step, epoch_us(m.time) / 1e6 AS time, m.value FROM {self.source} "
                f"WHERE {among(ids)} AND NOT isfinite(m.value) {within} "
                f"QUALIFY row_number() OVER (PARTITION BY m.series_id ORDER BY {self.axis.place}, m.rowid) "
                f"<= {MAX_NONFINITE} ORDER BY m.series_id, {self.axis.place}, m.rowid",
                *parameters,
            )
            for row in rows:
                found.setdefault(row["id"], []).append(_nonfinite(row["step"], row["time"], row["value"]))
        return found

    def _columns(self, sql: str, *parameters: Any) -> Columns:
        table = self.cursor.table(sql, *parameters)
        return {name: table[name].to_numpy() for name in table.column_names}


def _parts(series: list[Series], points: Columns) -> list[tuple[Series, Columns]]:
    """Each series with its rows, which are sorted by the series' ids."""
    ids = np.array([one["id"] for one in series])
    starts = np.searchsorted(points["id"], ids, side="left")
    ends = np.searchsorted(points["id"], ids, side="right")
    return [
        (one, {name: column[start:end] for name, column in points.items()})
        for one, start, end in zip(series, starts, ends, strict=True)
    ]


def _shown(series: Series) -> Series:
    return {"name": series["name"], "context": context_of(series["context"])}


def _nonfinite(step: Any, time: Any, value: float) -> Series:
    return {"step": int(step), "time": float(time), "kind": str(float(value))}


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values with `DIGITS` significant digits, of which JSON then needs few characters."""
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.floor(np.log10(np.abs(values)))
        power = DIGITS - 1 - magnitude
        # Only then do the scaling and its inverse add no error of their own; others are left as they are.
        is_near = np.abs(power) <= _EXACT_POWERS
        scale = 10.0 ** np.where(is_near, np.abs(power), 0.0)
        rounded = np.where(power > 0, np.rint(values * scale) / scale, np.rint(values / scale) * scale)
    return np.where(is_near, rounded, values)


def _moment(seconds: float) -> datetime:
    """A moment that DuckDB compares times with; one out of the calendar's range is at its end."""
    try:
        return datetime(1970, 1, 1) + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max if seconds > 0 else datetime.min
