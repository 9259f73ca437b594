"""Takes what model workers counted, keeps it, and tells it."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelship_lab.records.errors import Unavailable
from modelship_lab.records.serving import Deployment, DeploymentMetrics, WindowMetrics
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.monitoring.latency import BINS, percentile
from modelship_lab.server.storage.database import Cursor, Database

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 0.8
"""Less than a second, so that a hung worker delays nobody else's figures; what is not fetched now is later."""
SETTLED_S = 0.05
"""So long after its end a second is asked for."""
PUBLISHED_AT_ONCE = 5
"""Seconds that are told after a gap; whoever wants more reads them."""

Publish = Callable[[int, WindowMetrics], None]
"""Called with a deployment's id and one finished second."""


class Source(Protocol):
    """A model worker, for what is counted there."""

    deployment_id: int
    version: int
    adopted: bool
    """Whether an earlier lab server may have taken some of its figures already."""

    async def stats(self, since: int, timeout_s: float) -> dict[str, Any]: ...


class _Taken:
    """How far a worker's figures have been stored."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.newest: int | None = None


class ServingMetrics:
    """The figures of all deployments: fetched once a second, stored, and published.

    A worker keeps its seconds for a while, so those of a time when the lab server was away are not lost.
    """

    def __init__(self, database: Database, publish: Publish) -> None:
        self._database = database
        self._publish = publish
        self._sources: Callable[[], Sequence[Source]] = tuple
        self._taken: WeakKeyDictionary[Source, _Taken] = WeakKeyDictionary()
        self._recent: dict[int, dict[int, _Second]] = {}
        self._told = 0
        self._loop: asyncio.Task[None] | None = None

    def start(self, sources: Callable[[], Sequence[Source]]) -> None:
        """Begin to fetch from the workers that `sources` gives."""
        self._sources = sources
        self._told = int(time.time()) - 1
        self._loop = asyncio.create_task(self._every_second())

    async def stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop

    async def _every_second(self) -> None:
        while True:
            now = time.time()
            await asyncio.sleep(math.floor(now) + 1 + SETTLED_S - now)
            try:
                sources = self._sources()
                await asyncio.gather(*(self._take(source) for source in sources))
                self._tell({source.deployment_id for source in sources})
            except Exception:
                log.exception("Could not fetch what the model workers counted")

    async def take_last(self, source: Source) -> None:
        """Fetch the last figures of a worker that gets no more requests."""
        now = time.time()
        await asyncio.sleep(math.floor(now) + 1 + SETTLED_S - now)
        await self._take(source)

    async def _take(self, source: Source) -> None:
        taken = self._taken.setdefault(source, _Taken())
        async with taken.lock:
            if taken.newest is None:
                taken.newest = await self._newest_stored(source) if source.adopted else 0
            try:
                seconds = (await source.stats(taken.newest, ANSWER_WITHIN_S))["seconds"]
            except Unavailable:
                # Whether it lives is the supervisor's business.
                return
            if not seconds:
                return
            table = _table(source, seconds)
            before, taken.newest = taken.newest, max(second["time"] for second in seconds)
            try:
                # Once it is on its way it is stored, even if whoever waits for it is told to stop.
                await asyncio.shield(
                    self._database.write(lambda transaction: transaction.insert("deployment_seconds", table))
                )
            except Exception:
                taken.newest = before
                raise
            recent = self._recent.setdefault(source.deployment_id, {})
            for second in seconds[-PUBLISHED_AT_ONCE:]:
                recent.setdefault(second["time"], _Second()).add(second)

    async def _newest_stored(self, source: Source) -> int:
        newest = await self._database.read(
            lambda cursor: cursor.value(
                "SELECT epoch(max(time))::BIGINT FROM deployment_seconds "
                "WHERE deployment_id = ? AND version = ?",
                source.deployment_id,
                source.version,
            )
        )
        return int(newest or 0)

    def _tell(self, deployments: set[int]) -> None:
        """Publish the seconds that have ended since the last time, the empty ones too."""
        ended = int(time.time()) - 1
        first = max(self._told + 1, ended - PUBLISHED_AT_ONCE + 1)
        for deployment_id in deployments:
            recent = self._recent.get(deployment_id, {})
            for second in range(first, ended + 1):
                self._publish(deployment_id, recent.get(second, _Second()).window(second))
        self._told = ended
        for deployment_id, recent in list(self._recent.items()):
            kept = {
                second: counted for second, counted in recent.items() if second > ended - PUBLISHED_AT_ONCE
            }
            if kept:
                self._recent[deployment_id] = kept
            else:
                del self._recent[deployment_id]

    async def read(self, deployment: Deployment, window_s: int, caller: Caller) -> DeploymentMetrics:
        """What a deployment did in the last `window_s` finished seconds.

        Raises:
            NotFound: the caller may not see it.
        """
        policy.require(caller, "read", deployment, f"deployment '{deployment.name}'")
        deployment_id = deployment.id
        mine = [source for source in self._sources() if source.deployment_id == deployment_id]
        await asyncio.gather(*(self._take(source) for source in mine))
        end = int(time.time())

        def work(cursor: Cursor) -> DeploymentMetrics:
            table = cursor.table(
                "SELECT epoch(time)::BIGINT AS second, requests, errors, rows, latency_histogram "
                "FROM deployment_seconds WHERE deployment_id = ? AND time >= ? AND time < ?",
                deployment_id,
                datetime.fromtimestamp(end - window_s, UTC).replace(tzinfo=None),
                datetime.fromtimestamp(end, UTC).replace(tzinfo=None),
            )
            return _summary(deployment_id, end - window_s, window_s, table)

        return await self._database.read(work)


class _Second:
    """What all workers of a deployment counted in one second."""

    def __init__(self) -> None:
        self.counts = np.zeros(3, np.int64)
        self.histogram = np.zeros(BINS, np.int64)

    def add(self, second: dict[str, Any]) -> None:
        self.counts += (second["requests"], second["errors"], second["rows"])
        self.histogram += np.asarray(second["latency_histogram"], np.int64)

    def window(self, second: int) -> WindowMetrics:
        return _windows(second, self.counts[None], self.histogram[None])[0]


def _table(source: Source, seconds: list[dict[str, Any]]) -> pa.Table:
    count = len(seconds)
    return pa.table(
        {
            "deployment_id": pa.array([source.deployment_id] * count, pa.int64()),
            "version": pa.array([source.version] * count, pa.int64()),
            "time": pa.array([second["time"] * 1_000_000 for second in seconds], pa.timestamp("us")),
            **{
                name: pa.array([second[name] for second in seconds], pa.int64())
                for name in ("requests", "errors", "rows")
            },
            "latency_histogram": pa.array(
                [second["latency_histogram"] for second in seconds], pa.list_(pa.int64())
            ),
        }
    )


def _summary(deployment_id: int, start: int, window_s: int, table: pa.Table) -> DeploymentMetrics:
    """Stored seconds, of several workers perhaps, as one entry a second and their total."""
    index = table["second"].to_numpy() - start
    counts = np.zeros((window_s, 3), np.int64)
    histograms = np.zeros((window_s, BINS), np.int64)
    for column, name in enumerate(("requests", "errors", "rows")):
        np.add.at(counts[:, column], index, table[name].to_numpy())
    flat = table["latency_histogram"].combine_chunks().flatten().to_numpy()
    np.add.at(histograms, index, flat.reshape(-1, BINS))
    return DeploymentMetrics(
        deployment_id=deployment_id,
        window_s=window_s,
        total=_windows(start, counts.sum(axis=0)[None], histograms.sum(axis=0)[None])[0],
        series=tuple(_windows(start, counts, histograms)),
    )


def _windows(start: int, counts: NDArray[np.int64], histograms: NDArray[np.int64]) -> list[WindowMetrics]:
    """One record for each row of counts (n, 3) and histograms (n, BINS), a second apart from `start` on."""
    percentiles = np.stack([percentile(histograms, percent) for percent in (50.0, 95.0, 99.0)], axis=1)
    return [
        WindowMetrics(
            time=datetime.fromtimestamp(start + offset, UTC),
            requests=requests,
            errors=errors,
            rows=rows,
            p50_ms=None if math.isnan(p50) else p50,
            p95_ms=None if math.isnan(p95) else p95,
            p99_ms=None if math.isnan(p99) else p99,
        )
        for offset, ((requests, errors, rows), (p50, p95, p99)) in enumerate(
            zip(counts.tolist(), percentiles.tolist(), strict=True)
        )
    ]
