"""Metrics: stored in Arrow batches exactly once, read back reduced so that no spike disappears."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from modelship_lab.records.errors import InvalidData
from modelship_lab.records.metrics import (
    LoggedMetrics,
    MetricPoints,
    Metrics,
    MetricSummary,
    NonFinite,
    NumberedPoint,
    Series,
)
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.arrow_streams import read_stream
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now
from modelship_lab.server.tracking.heartbeats import Heartbeats
from modelship_lab.server.tracking.runs import Runs

MAX_NAME = 250

FEW = 1000
"""So many points become a table in a few milliseconds; more of them do on another thread."""

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("step", pa.int64()),
        ("time", pa.timestamp("us", "UTC")),
        ("value", pa.float64()),
    ]
)

Publish = Callable[[int, int, int, int, pa.Table | None], None]
"""Called after a commit with the run, its owner, the sequence before, the sequence now, and the points."""


class RunMetrics:
    """The metrics of all runs.

    Every accepted batch of a run has a number, 1, 2, 3, …, in the order of commits: a chart that
    has seen up to number n asks for, or is sent, what came after n.
    """

    def __init__(self, database: Database, runs: Runs, heartbeats: Heartbeats, publish: Publish) -> None:
        self._database = database
        self._runs = runs
        self._heartbeats = heartbeats
        self._publish = publish

    async def log_table(
        self, run_id: int, body: bytes, producer: str, sequence: int, caller: Caller
    ) -> LoggedMetrics:
        """Store an Arrow IPC stream of points (see `SCHEMA`).

        The producer numbers its batches upwards; one that was stored before is acknowledged again
        and not stored again. Batches of no producer ("") are all stored.

        Raises:
            InvalidData: not an Arrow stream of these columns, or a metric's name is too long.
            NotFound: there is no such run for the caller.
            PermissionDenied: they may only read it.
        """
        points = await asyncio.to_thread(_read_points, body)
        return await self._store(run_id, points, producer, sequence, caller)

    async def log_points(
        self, run_id: int, points: MetricPoints, producer: str, sequence: int, caller: Caller
    ) -> LoggedMetrics:
        """`log_table` with points given as records; those without a time get the present one."""
        moment = now()
        if len(points.points) <= FEW:
            table = _table(points, moment)
        else:
            # A hundred thousand points take half a second, in which every other request would wait.
            table = await asyncio.to_thread(_table, points, moment)
        return await self._store(run_id, table, producer, sequence, caller)

    async def _store(
        self, run_id: int, points: pa.Table, producer: str, sequence: int, caller: Caller
    ) -> LoggedMetrics:
        def work(transaction: Transaction) -> LoggedMetrics:
            beat = self._heartbeats.beat(transaction, run_id, caller)
            stream = transaction.row(
                "SELECT last_sequence FROM metric_streams WHERE run_id = ? AND producer = ?", run_id, producer
            )
            if producer and stream is not None and sequence <= stream["last_sequence"]:
                return LoggedMetrics(accepted=0, duplicate=True, stop=beat.stop, first_number=None)
            before, points_before = _stored(transaction, run_id)
            if stream is None:
                transaction.execute(
                    "INSERT INTO metric_streams (run_id, producer, last_sequence, batches, points) "
                    "VALUES (?, ?, ?, 1, ?)",
                    run_id,
                    producer,
                    sequence,
                    points.num_rows,
                )
            else:
                transaction.execute(
                    "UPDATE metric_streams SET last_sequence = ?, batches = batches + 1, points = points + ? "
                    "WHERE run_id = ? AND producer = ?",
                    sequence,
                    points.num_rows,
                    run_id,
                    producer,
                )
            count = points.num_rows
            transaction.insert(
                "metrics",
                points.append_column("run_id", pa.repeat(pa.scalar(run_id, pa.int64()), count)).append_column(
                    "batch", pa.repeat(pa.scalar(before + 1, pa.int64()), count)
                ),
            )
            told = points.append_column("context", pa.repeat("{}", count))
            transaction.after_commit(lambda: self._publish(run_id, beat.owner_id, before, before + 1, told))
            return LoggedMetrics(
                accepted=count,
                duplicate=False,
                stop=beat.stop,
                first_number=points_before + 1 if count else None,
            )

        return await self._database.write(work)

    async def table(self, run_id: int, names: tuple[str, ...], caller: Caller) -> pa.Table:
        """All points of a run, in order of arrival.

        Raises:
            NotFound: there is no such run for the caller.
        """
        await self._runs.get(run_id, caller)

        def work(cursor: Cursor) -> pa.Table:
            where, parameters = _selection(run_id, names)
            return cursor.table(
                f"SELECT name, '{{}}' AS context, step, time, value FROM metrics {where} ORDER BY rowid",
                *parameters,
            )

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
                "SELECT * FROM (SELECT row_number() OVER (ORDER BY rowid) AS number, name, value, step, time "
                f"FROM metrics WHERE run_id = ?) {where} "
                f"ORDER BY time, number LIMIT {limit:d} OFFSET {offset:d}",
                run_id,
                *parameters,
            )
        )
        return tuple(NumberedPoint(**row) for row in found)

    async def summary(self, run_id: int, caller: Caller) -> tuple[MetricSummary, ...]:
        """What became of each metric of a run, by name.

        `last` is the value at the greatest step (the newest one there), and `count` counts all points. Smallest, largest and mean are those of the finite points alone, since one
        NaN would make all three NaN; they are None when no point is finite.

        Raises:
            NotFound: there is no such run for the caller.
        """
        await self._runs.get(run_id, caller)
        found = await self._database.read(lambda cursor: cursor.rows(_SUMMARY, run_id))
        return tuple(MetricSummary(context={}, **row) for row in found)

    async def read(self, run_id: int, names: tuple[str, ...], max_points: int, caller: Caller) -> Metrics:
        """The points of a run, at most `max_points` of each series.

        A longer series is cut into pieces of equal width, each with its smallest and largest point,
        so that no spike disappears.

        Raises:
            NotFound: there is no such run for the caller.
        """
        await self._runs.get(run_id, caller)

        def work(cursor: Cursor) -> Metrics:
            where, parameters = _selection(run_id, names)
            counts = cursor.rows(
                "SELECT name, count(*) AS points, min(step) AS first, max(step) AS last "
                f"FROM metrics {where} GROUP BY name ORDER BY name",
                *parameters,
            )
            series = []
            for entry in counts:
                name, reduced = entry["name"], entry["points"] > max_points
                if reduced:
                    width = (entry["last"] - entry["first"] + 1) / max_points
                    points = cursor.table(_REDUCED, run_id, name, entry["first"], width)
                else:
                    points = cursor.table(
                        "SELECT step, epoch_us(time) / 1e6 AS time, "
                        "CASE WHEN isfinite(value) THEN value END AS value FROM metrics "
                        "WHERE run_id = ? AND name = ? ORDER BY step, rowid",
                        run_id,
                        name,
                    )
                odd = cursor.rows(
                    "SELECT step, epoch_us(time) / 1e6 AS time, value::VARCHAR AS kind FROM metrics "
                    "WHERE run_id = ? AND name = ? AND NOT isfinite(value) ORDER BY step",
                    run_id,
                    name,
                )
                series.append(
                    Series(
                        name=name,
                        steps=points["step"].to_pylist(),
                        times=points["time"].to_pylist(),
                        values=points["value"].to_pylist(),
                        low=points["low"].to_pylist() if reduced else None,
                        high=points["high"].to_pylist() if reduced else None,
                        counts=points["count"].to_pylist() if reduced else None,
                        nonfinite=tuple(NonFinite(**one) for one in odd[:100]),
                        nonfinite_count=len(odd),
                        points=entry["points"],
                        reduced=reduced,
                    )
                )
            return Metrics(series=tuple(series), sequence=_stored(cursor, run_id)[0])

        return await self._database.read(work)


_SUMMARY = """
    SELECT name, last(CASE WHEN isfinite(value) THEN value END ORDER BY step, time, rowid) AS last,
           max(step) AS last_step, last(time ORDER BY step, time, rowid) AS last_time,
           min(value) FILTER (isfinite(value)) AS min,
           max(value) FILTER (isfinite(value)) AS max,
           avg(value) FILTER (isfinite(value)) AS mean,
           count(*) AS count, min(step) AS first_step
    FROM metrics WHERE run_id = ? GROUP BY name ORDER BY name
"""

_REDUCED = """
    SELECT min(step) AS step, epoch_us(arg_min(time, step)) / 1e6 AS time,
           avg(value) FILTER (isfinite(value)) AS value,
           min(value) FILTER (isfinite(value)) AS low,
           max(value) FILTER (isfinite(value)) AS high, count(*) AS count
    FROM metrics WHERE run_id = ?1 AND name = ?2
    GROUP BY floor((step - ?3) / ?4) ORDER BY step
"""


def _table(points: MetricPoints, moment: datetime) -> pa.Table:
    """Points as a table; those without a time get `moment`, UTC without a zone."""
    return pa.table(
        {
            "name": [point.name for point in points.points],
            "step": pa.array([point.step for point in points.points], pa.int64()),
            "time": pa.array(
                [
                    point.time.replace(tzinfo=None) if point.time is not None else moment
                    for point in points.points
                ],
                pa.timestamp("us"),
            ),
            "value": pa.array([point.value for point in points.points], pa.float64()),
        }
    )


def _selection(run_id: int, names: tuple[str, ...]) -> tuple[str, list[Any]]:
    if names:
        return "WHERE run_id = ? AND list_contains(?, name)", [run_id, list(names)]
    return "WHERE run_id = ?", [run_id]


def _stored(cursor: Cursor, run_id: int) -> tuple[int, int]:
    """How many batches and points of a run are stored."""
    row = cursor.row(
        "SELECT coalesce(sum(batches), 0)::BIGINT AS batches, coalesce(sum(points), 0)::BIGINT AS points "
        "FROM metric_streams WHERE run_id = ?",
        run_id,
    )
    assert row is not None
    return row["batches"], row["points"]


def _read_points(body: bytes) -> pa.Table:
    try:
        points = read_stream(body, SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise InvalidData(
            "The metrics are not an Arrow IPC stream with the columns name (string), step (int64), "
            "time (timestamp[us, UTC]) and value (float64)."
        ) from error
    if any(column.null_count for column in points.columns):
        raise InvalidData("A metric point has no name, step, time or value.")
    if points.num_rows and pc.max(pc.utf8_length(points["name"])).as_py() > MAX_NAME:
        raise InvalidData(f"The name of a metric is longer than {MAX_NAME} characters.")
    return points.set_column(2, "time", points["time"].cast(pa.timestamp("us")))
