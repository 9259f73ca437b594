"""Samples that are read before anybody asks for them, so that few requests wait for a query."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from modelship_lab.records.errors import Unavailable
from modelship_lab.records.labeling import Project, QueueOrder, Sample
from modelship_lab.server.labeling.ranking import Ranked, rank
from modelship_lab.server.labeling.samples import read_samples
from modelship_lab.server.storage.database import Cursor, Database

RANKED = 4096
"""Samples that are put in order at once: to order a million takes longer than to read a few hundred."""

READ = 256
"""Samples that are read at once; the next ones are when half of them are gone."""

MAX_BUFFERS = 32
MAX_CHARACTERS = 8 << 20
"""Long texts are not read ahead beyond this."""

log = logging.getLogger(__name__)

Key = tuple[int, QueueOrder]


@dataclass
class Buffer:
    """The best undecided samples of a project in one order, best first."""

    samples: dict[int, tuple[Sample, str]]
    """With the reason for each."""
    ahead: deque[Ranked]
    """Those that come after them and were not read yet."""
    complete: bool
    """No undecided sample is missing here."""
    stale: bool = False
    """There are other samples by now, or they are in another order."""

    def free(self, left_out: Collection[Hashable], limit: int) -> list[tuple[Sample, str]]:
        """The first that are not left out."""
        found: list[tuple[Sample, str]] = []
        for sample_id, one in self.samples.items():
            if len(found) >= limit:
                break
            if sample_id not in left_out:
                found.append(one)
        return found


@dataclass
class _Reading:
    """What happened in a project while samples of it were being read."""

    project_id: int
    decided: set[int] = field(default_factory=set)
    outdated: bool = False
    gone: bool = False


class ReadAhead:
    """The buffers of all projects and orders. What is decided leaves them with its commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._buffers: dict[Key, Buffer] = {}
        self._readings: list[_Reading] = []
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._lock = threading.Lock()

    async def ready(
        self, project: Project, order: QueueOrder, limit: int, left_out: Collection[Hashable]
    ) -> None:
        """Have `limit` samples that are not left out in the buffer, or all that there are.

        What is there is handed out while other samples are read, unless all of the project's are read in no time.
        """
        key = (project.id, order)
        for _ in range(2):
            with self._lock:
                buffer = self._buffers.pop(key, None)
                if buffer is not None:
                    # At the end: what nobody has asked for for the longest time makes room first.
                    self._buffers[key] = buffer
                free = 0 if buffer is None else len(buffer.free(left_out, limit))
                must_wait = (
                    buffer is None
                    or (buffer.stale and buffer.complete)
                    or (free < limit and bool(buffer.ahead or not buffer.complete))
                )
                should_read = buffer is not None and (
                    buffer.stale
                    or (len(buffer.samples) < READ // 2 and bool(buffer.ahead or not buffer.complete))
                )
            if must_wait:
                await asyncio.shield(self._read(project, order, limit + len(left_out)))
            else:
                if should_read:
                    self._read(project, order, 0)
                return

    def free(
        self, project: Project, order: QueueOrder, limit: int, left_out: Collection[Hashable]
    ) -> list[tuple[Sample, str]]:
        """The best samples with the reason for each, as far as they were read."""
        with self._lock:
            buffer = self._buffers.get((project.id, order))
            return [] if buffer is None else buffer.free(left_out, limit)

    def is_reading(self, project: Project) -> bool:
        """Whether samples of a project are being read."""
        return any(project_id == project.id for project_id, _ in self._tasks)

    def samples(self, project_id: int) -> set[int]:
        """Which samples of a project were read."""
        with self._lock:
            return {
                one
                for (owner, _), buffer in self._buffers.items()
                if owner == project_id
                for one in buffer.samples
            }

    def undecided(self, project_id: int, sample_ids: Iterable[int]) -> set[int]:
        """Which of these were read and nobody has decided about since. For the writer thread."""
        with self._lock:
            # One that is stale may have samples that were decided about while it was read.
            buffers = [
                buffer
                for (owner, _), buffer in self._buffers.items()
                if owner == project_id and not buffer.stale
            ]
            return {one for one in sample_ids if any(one in buffer.samples for buffer in buffers)}

    def decided(self, project_id: int, sample_ids: Iterable[int]) -> None:
        """Nobody needs to decide about these any more. Called after the commit, on the writer thread."""
        decided = set(sample_ids)
        with self._lock:
            for (owner, _), buffer in self._buffers.items():
                if owner == project_id:
                    for sample_id in decided:
                        buffer.samples.pop(sample_id, None)
            for reading in self._readings:
                if reading.project_id == project_id:
                    reading.decided |= decided

    def refresh(self, project_id: int) -> None:
        """There are other samples, or they are in another order. Called after the commit."""
        with self._lock:
            for (owner, _), buffer in self._buffers.items():
                if owner == project_id:
                    buffer.stale = True
            for reading in self._readings:
                if reading.project_id == project_id:
                    reading.outdated = True

    def forget(self, project_id: int) -> None:
        """A project is gone."""
        with self._lock:
            for key in [key for key in self._buffers if key[0] == project_id]:
                del self._buffers[key]
            for reading in self._readings:
                if reading.project_id == project_id:
                    reading.gone = True

    def _read(self, project: Project, order: QueueOrder, least: int) -> asyncio.Task[None]:
        """Begin to read, unless that is going on already."""
        key = (project.id, order)
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._fill(project, order, max(READ, least)))
            task.add_done_callback(lambda done: self._ended(key, done))
        return task

    def _ended(self, key: Key, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, Unavailable):
            log.error("Samples of project %d could not be read ahead", key[0], exc_info=error)

    async def _fill(self, project: Project, order: QueueOrder, size: int) -> None:
        key = (project.id, order)
        reading = _Reading(project.id)
        with self._lock:
            self._readings.append(reading)
            buffer = self._buffers.get(key)
            # What was put in order before is read on, unless there is another order by now.
            goes_on = buffer is not None and not buffer.stale and bool(buffer.ahead)
            ahead = list(buffer.ahead) if buffer is not None and goes_on else []
            complete = buffer.complete if buffer is not None else False
        try:
            if not goes_on:
                ahead, complete = await self._database.read(
                    lambda cursor: rank(cursor, project, order, max(RANKED, size + 1)),
                    long=order == "diversity",
                )
            samples, taken = await self._database.read(lambda cursor: _read_first(cursor, ahead[:size]))
            with self._lock:
                undecided = {
                    sample.id: (sample, one.reason)
                    for sample, one in samples
                    if sample.status == "unlabeled" and sample.id not in reading.decided
                }
                rest = deque(ahead[taken:])
                if reading.gone:
                    return
                present = self._buffers.get(key)
                if goes_on and present is buffer and present is not None:
                    present.samples.update(undecided)
                    present.ahead = rest
                    return
                while len(self._buffers) >= MAX_BUFFERS:
                    del self._buffers[next(iter(self._buffers))]
                self._buffers[key] = Buffer(undecided, rest, complete, stale=reading.outdated)
        finally:
            with self._lock:
                self._readings.remove(reading)


def _read_first(cursor: Cursor, ranked: Sequence[Ranked]) -> tuple[list[tuple[Sample, Ranked]], int]:
    """The first of these samples, and how many that were: no more than fit."""
    identities = [one.sample_id for one in ranked]
    lengths = dict(
        cursor.tuples(
            "SELECT id, coalesce(strlen(text), 0) + coalesce(strlen(fields::VARCHAR), 0) FROM samples "
            "WHERE id IN (SELECT unnest(?::BIGINT[]))",
            identities,
        )
    )
    taken = characters = 0
    for identity in identities:
        characters += lengths.get(identity, 0)
        if taken and characters > MAX_CHARACTERS:
            break
        taken += 1
    by_id = {one.id: one for one in read_samples(cursor, identities[:taken])}
    found = [(by_id[one.sample_id], one) for one in ranked[:taken] if one.sample_id in by_id]
    return found, taken
