"""Metrics as they are logged: every batch is stored exactly once, and its series' figures with it."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from modelship_lab.records.errors import InvalidData
from modelship_lab.records.metrics import LoggedMetrics, MetricPoints, OnDuplicate
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.database import Database, Transaction, now
from modelship_lab.server.tracking.heartbeats import Heartbeats
from modelship_lab.server.tracking.metric_batch import Flags, Integers, MetricBatch, batch_of, read_batch

FEW = 1000
"""So many points are made a batch in a few milliseconds; more of them are on another thread."""

MAX_KNOWN = 200_000
"""Series that are in memory, of the runs that logged last."""

MAX_SERIES = MAX_KNOWN
"""Of one run: with more, every batch of it would have all of them read again, and all other writers wait."""

Publish = Callable[[int, int, int, int, pa.Table | None], None]
"""Called after a commit with the run, its owner, the sequence before, the sequence now, and the points.

There are none when the batch changed what was told before: it has to be asked for.
"""


@dataclass
class _Known:
    """What is stored of a run, as the writer needs it for the next batch."""

    batches: int
    points: int
    streams: dict[str, int]
    """The last number of each producer."""
    series: dict[tuple[str, str], int]
    """The position of each series, by name and context, in the columns below."""
    ids: Integers
    last_steps: Integers

    @property
    def weight(self) -> int:
        return len(self.series) + 1


class RunMetrics:
    """Takes the metrics of all runs.

    Every accepted batch of a run has a number, 1, 2, 3, …, in the order of commits: a chart that
    has seen up to number n asks for, or is sent, what came after n.
    """

    def __init__(self, database: Database, heartbeats: Heartbeats, publish: Publish) -> None:
        self._database = database
        self._heartbeats = heartbeats
        self._publish = publish
        # All of these belong to the writer's thread, as it alone changes what they are about.
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self._weight = 0
        self._transaction: Transaction | None = None
        self._open: dict[int, _Known] = {}

    async def log_table(
        self,
        run_id: int,
        body: bytes,
        producer: str,
        sequence: int,
        caller: Caller,
        on_duplicate: OnDuplicate = "replace",
    ) -> LoggedMetrics:
        """Store an Arrow IPC stream of points (see `metric_batch.SCHEMA`).

        The producer numbers its batches upwards; one that was stored before is acknowledged again
        and not stored again. Batches of no producer ("") are all stored.

        Args:
            on_duplicate: what happens to a point whose series and step come again, also within the
                batch: the last one counts, or all are kept.

        Raises:
            InvalidData: not an Arrow stream of these columns, or a metric's name or context is none.
            NotFound: there is no such run for the caller.
            PermissionDenied: they may only read it.
        """
        batch = await asyncio.to_thread(read_batch, body, on_duplicate)
        return await self._store(run_id, batch, producer, sequence, caller, on_duplicate)

    async def log_points(
        self,
        run_id: int,
        points: MetricPoints,
        producer: str,
        sequence: int,
        caller: Caller,
        on_duplicate: OnDuplicate = "replace",
    ) -> LoggedMetrics:
        """`log_table` with points given as records; those without a time get the present one."""
        moment = now()
        if len(points.points) <= FEW:
            batch = batch_of(points, moment, on_duplicate)
        else:
            # A hundred thousand points take half a second, in which every other request would wait.
            batch = await asyncio.to_thread(batch_of, points, moment, on_duplicate)
        return await self._store(run_id, batch, producer, sequence, caller, on_duplicate)

    async def _store(
        self,
        run_id: int,
        batch: MetricBatch,
        producer: str,
        sequence: int,
        caller: Caller,
        on_duplicate: OnDuplicate,
    ) -> LoggedMetrics:
        def work(transaction: Transaction) -> LoggedMetrics:
            beat = self._heartbeats.beat(transaction, run_id, caller)
            known = self._take(transaction, run_id)
            if producer and sequence <= known.streams.get(producer, 0):
                return LoggedMetrics(accepted=0, duplicate=True, stop=beat.stop, first_number=None)
            _note_stream(transaction, run_id, known, producer, sequence)
            changed = _add_points(transaction, run_id, known, batch, on_duplicate)
            before, count = known.batches - 1, batch.points.num_rows
            told = None if changed else batch.table
            transaction.after_commit(lambda: self._publish(run_id, beat.owner_id, before, before + 1, told))
            return LoggedMetrics(
                accepted=batch.accepted,
                duplicate=False,
                stop=beat.stop,
                first_number=known.points - count + 1 if count else None,
            )

        return await self._database.write(work)

    def _take(self, transaction: Transaction, run_id: int) -> _Known:
        """What is stored of a run, to be changed as the transaction changes it.

        What is in memory is taken out until the commit: so nothing is left of a transaction that is
        rolled back, and the writes of one transaction see what those before them did.
        """
        if self._transaction is not transaction:
            self._transaction, self._open = transaction, {}
        known = self._open.get(run_id)
        if known is None:
            known = self._known.pop(run_id, None)
            if known is None:
                known = _load(transaction, run_id)
            else:
                self._weight -= known.weight
            self._open[run_id] = known
            transaction.after_commit(lambda: self._keep(run_id, known))
        return known

    def _keep(self, run_id: int, known: _Known) -> None:
        self._known[run_id] = known
        self._weight += known.weight
        while self._weight > MAX_KNOWN:
            _, oldest = self._known.popitem(last=False)
            self._weight -= oldest.weight


def _load(transaction: Transaction, run_id: int) -> _Known:
    streams = transaction.rows(
        "SELECT producer, last_sequence, batches FROM metric_streams WHERE run_id = ?", run_id
    )
    series = transaction.table(
        "SELECT name, context, id, last_step, points FROM metric_series WHERE run_id = ?", run_id
    )
    keys = zip(series["name"].to_pylist(), series["context"].to_pylist(), strict=True)
    return _Known(
        batches=sum(stream["batches"] for stream in streams),
        points=sum(series["points"].to_pylist()),
        streams={stream["producer"]: stream["last_sequence"] for stream in streams},
        series={key: position for position, key in enumerate(keys)},
        ids=series["id"].to_numpy().astype(np.int64),
        # A copy: what Arrow holds cannot be changed.
        last_steps=series["last_step"].to_numpy().copy(),
    )


def _note_stream(transaction: Transaction, run_id: int, known: _Known, producer: str, sequence: int) -> None:
    if producer in known.streams:
        transaction.execute(
            "UPDATE metric_streams SET last_sequence = ?, batches = batches + 1 "
            "WHERE run_id = ? AND producer = ?",
            sequence,
            run_id,
            producer,
        )
    else:
        transaction.execute(
            "INSERT INTO metric_streams (run_id, producer, last_sequence, batches) VALUES (?, ?, ?, 1)",
            run_id,
            producer,
            sequence,
        )
    known.streams[producer] = sequence
    known.batches += 1


def _add_points(
    transaction: Transaction, run_id: int, known: _Known, batch: MetricBatch, on_duplicate: OnDuplicate
) -> bool:
    """Store the points and the figures of their series.

    Returns:
        Whether more was done than to append: steps went backwards, or points were replaced.
    """
    if not batch.keys:
        return False
    missing = len(known.series)
    position = np.fromiter(
        (known.series.setdefault(key, len(known.series)) for key in batch.keys), np.int64, len(batch.keys)
    )
    first_steps, last_steps = (np.asarray(batch.figures[name]) for name in ("first_step", "last_step"))
    is_new = position >= missing
    if is_new.any():
        if len(known.series) > MAX_SERIES:
            raise InvalidData(
                f"A run has at most {MAX_SERIES:,} series. What changes from point to point belongs into its step, "
                "not into a metric's name or context."
            )
        _make_room(transaction, known)
    ids = known.ids[position]
    figures = batch.figures.add_column(0, "id", pa.array(ids, pa.int32()))
    points = batch.points.add_column(0, "series_id", pa.array(ids[batch.series], pa.int32()))
    if is_new.any():
        _insert_series(transaction, run_id, batch, figures, is_new)
    is_before = ~is_new & (first_steps <= known.last_steps[position])
    replaced = 0
    if on_duplicate == "replace" and is_before.any():
        replaced = _delete_points(transaction, points.filter(pa.array(is_before[batch.series])))
    transaction.insert("metrics", points)
    if replaced:
        _recompute(transaction, ids[is_before])
    merged = ~is_new & ~is_before if replaced else ~is_new
    if merged.any():
        transaction.rows_with(_MERGE, {"batch_figures": figures.filter(pa.array(merged))})
    known.last_steps[position] = np.where(
        is_new, last_steps, np.maximum(known.last_steps[position], last_steps)
    )
    known.points += points.num_rows - replaced
    return on_duplicate == "replace" and (bool(is_before.any()) or not batch.is_rising)


def _make_room(transaction: Transaction, known: _Known) -> None:
    """Give ids to the series that are new in `known.series`."""
    count = len(known.series) - len(known.ids)
    ids = transaction.column("SELECT nextval('metric_series_ids') FROM range(?)", count)
    known.ids = np.append(known.ids, ids)
    known.last_steps = np.append(known.last_steps, np.zeros(count, np.int64))


def _insert_series(
    transaction: Transaction, run_id: int, batch: MetricBatch, figures: pa.Table, is_new: Flags
) -> None:
    names, contexts = zip(*batch.keys, strict=True)
    columns = {
        "run_id": pa.repeat(pa.scalar(run_id, pa.int64()), len(names)),
        "name": pa.array(names, pa.string()),
        "context": pa.array(contexts, pa.string()),
    }
    for name, column in columns.items():
        figures = figures.append_column(name, column)
    transaction.insert("metric_series", figures.filter(pa.array(is_new)))


def _delete_points(transaction: Transaction, points: pa.Table) -> int:
    """Delete what is stored of the same series and steps; returns how much that was."""
    (deleted,) = transaction.rows_with(
        "DELETE FROM metrics USING batch_points b WHERE metrics.series_id = b.series_id AND metrics.step = b.step",
        {"batch_points": points.select(["series_id", "step"])},
    )
    return int(deleted["Count"])


def _recompute(transaction: Transaction, ids: Integers) -> None:
    transaction.rows_with(_RECOMPUTE, {"changed": pa.table({"id": pa.array(ids, pa.int32())})})


_MERGE = """
    UPDATE metric_series SET
        points = metric_series.points + b.points,
        first_step = least(metric_series.first_step, b.first_step),
        last_value = CASE WHEN (b.last_step, b.last_time) >= (metric_series.last_step, metric_series.last_time)
                     THEN b.last_value ELSE metric_series.last_value END,
        last_time = CASE WHEN (b.last_step, b.last_time) >= (metric_series.last_step, metric_series.last_time)
                    THEN b.last_time ELSE metric_series.last_time END,
        last_step = greatest(metric_series.last_step, b.last_step),
        finite = metric_series.finite + b.finite,
        min = least(metric_series.min, b.min),
        max = greatest(metric_series.max, b.max),
        sum = metric_series.sum + b.sum
    FROM batch_figures b WHERE metric_series.id = b.id
"""

_RECOMPUTE = """
    UPDATE metric_series SET
        points = f.points, first_step = f.first_step, last_step = f.last_step,
        last_time = f.last_point.time, last_value = f.last_point.value,
        finite = f.finite, min = f.min, max = f.max, sum = f.sum
    FROM (
        SELECT series_id, count(*) AS points, min(step) AS first_step, max(step) AS last_step,
               last({time: time, value: value} ORDER BY step, time, rowid) AS last_point,
               count(number) AS finite, min(number) AS min, max(number) AS max,
               coalesce(sum(number), 0) AS sum
        FROM (
            SELECT *, rowid, CASE WHEN isfinite(value) THEN value END AS number
            FROM metrics WHERE series_id IN (SELECT id FROM changed)
        )
        GROUP BY series_id
    ) f
    WHERE metric_series.id = f.series_id
"""
