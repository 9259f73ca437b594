"""Metrics as they are read: curves, figures, and every point as it was logged."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from modelship_lab.records.base import Page
from modelship_lab.records.metrics import MetricSummary, NumberedPoint, context_of
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.database import Cursor, Database
from modelship_lab.server.tracking.curves import Axis, among, curves, series_of
from modelship_lab.server.tracking.runs import Runs

MOST_SUMMARIES = 100_000
"""Series in one answer."""


class MetricSeries:
    """The stored metrics of all runs, to be read."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._database = database
        self._runs = runs

    async def read(
        self, run_id: int, names: Sequence[str], max_points: int, axis: Axis, caller: Caller
    ) -> bytes:
        """The series of a run over an axis, as a record `Metrics` in JSON.

        A series of more than `max_points` points in the asked range is cut into as many pieces of
        equal width at most, each with the mean, the smallest and the largest of its points, so
        that no spike disappears.

        Raises:
            NotFound: there is no such run for the caller.
        """
        await self._runs.get(run_id, caller)

        def work(cursor: Cursor) -> bytes:
            # One state of the data: else the points could be newer or older than the sequence says.
            with cursor.snapshot():
                return curves(cursor, run_id, names, max_points, axis)

        return await self._database.read(work)

    async def summary(
        self, run_id: int, caller: Caller, limit: int = MOST_SUMMARIES, offset: int = 0
    ) -> Page[MetricSummary]:
        """What became of each series of a run, by name and context.

        `last` is the value at the greatest step (the newest one there), and `count` counts all
        points. Smallest, largest and mean are those of the finite points alone, since one NaN would
        make all three NaN; they are None when no point is finite.

        Raises:
            NotFound: there is no such run for the caller.
        """
        await self._runs.get(run_id, caller)

        def work(cursor: Cursor) -> Page[MetricSummary]:
            with cursor.snapshot():
                rows = cursor.rows(f"{_SUMMARY} LIMIT {limit:d} OFFSET {offset:d}", run_id)
                total = cursor.value("SELECT count(*) FROM metric_series WHERE run_id = ?", run_id)
            items = tuple(MetricSummary(**{**row, "context": context_of(row["context"])}) for row in rows)
            return Page(items=items, total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def points(
        self, run_id: int, caller: Caller, name: str | None, limit: int, offset: int
    ) -> tuple[NumberedPoint, ...]:
        """Points as they were logged, NaN and infinities too, in ascending order of time, then of arrival.

        Args:
            name: only those of this metric.

        Raises:
            NotFound: there is no such run for the caller.
        """
        await self._runs.get(run_id, caller)
        where, parameters = ("WHERE name = ?", [name]) if name is not None else ("", [])
        found = await self._database.read(
            lambda cursor: cursor.rows(
                "SELECT * FROM (SELECT row_number() OVER (ORDER BY m.rowid) AS number, "
                "s.name, s.context, m.value, m.step, m.time "
                f"FROM metrics m JOIN metric_series s ON s.id = m.series_id WHERE s.run_id = ?) {where} "
                f"ORDER BY time, number LIMIT {limit:d} OFFSET {offset:d}",
                run_id,
                *parameters,
            )
        )
        return tuple(NumberedPoint(**{**row, "context": context_of(row["context"])}) for row in found)

    async def table(self, run_id: int, names: Sequence[str], caller: Caller) -> pa.Table:
        """All points of a run, in order of arrival.

        Raises:
            NotFound: there is no such run for the caller.
        """
        await self._runs.get(run_id, caller)

        def work(cursor: Cursor) -> pa.Table:
            with cursor.snapshot():
                series = series_of(cursor, run_id, names)
                points = cursor.table(
                    "SELECT series_id, step, time, value FROM metrics "
                    f"WHERE {among([one['id'] for one in series])} ORDER BY rowid"
                )
            return _named(points, series)

        return await self._database.read(work, long=True)


_SUMMARY = """
    SELECT name, context, CASE WHEN isfinite(last_value) THEN last_value END AS last, last_step, last_time,
           min, max, CASE WHEN finite > 0 AND isfinite(sum) THEN sum / finite END AS mean,
           points AS count, first_step
    FROM metric_series WHERE run_id = ? ORDER BY name, nullif(context, '{}') NULLS FIRST
"""


def _named(points: pa.Table, series: list[dict[str, Any]]) -> pa.Table:
    """Points with name and context in the place of the number of their series."""
    ids = pa.array([one["id"] for one in series], pa.int32())
    columns = [
        # A text for each point only now: a million of them are not carried through the query.
        pa.chunked_array(
            [
                pa.array([one[name] for one in series], pa.string()).take(pc.index_in(chunk, ids))
                for chunk in points["series_id"].chunks
            ],
            pa.string(),
        )
        for name in ("name", "context")
    ]
    return pa.table(
        [*columns, *(points[name] for name in ("step", "time", "value"))],
        names=["name", "context", "step", "time", "value"],
    )
