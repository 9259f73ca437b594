"""What is to be labeled next."""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from modelship_lab.records.labeling import Project, Queue, QueuedSample, QueueOrder, Sample
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.progress import ProgressCounts
from modelship_lab.server.labeling.samples import read_samples
from modelship_lab.server.storage.database import Cursor, Database

BUFFER = 256
"""Samples read ahead for each project and order, so that few requests wait for a query."""

MAX_BUFFERED_CHARACTERS = 16 << 20
"""Long texts are not read ahead beyond this."""

_ORDER: dict[QueueOrder, str] = {
    # Those that no model has seen come last, in an order that says nothing about their content.
    "uncertainty": "g.uncertainty DESC NULLS LAST, hash(s.id), s.id",
    # Mixed, but the same each time: the sample on screen must not change because of a reload.
    "random": "hash(s.id), s.id",
    "sequential": "s.id",
    "margin": "g.margin DESC NULLS LAST, hash(s.id), s.id",
    "entropy": "g.entropy DESC NULLS LAST, hash(s.id), s.id",
    "diversity": "hash(s.id), s.id",
}

_SUGGESTIONS = "LEFT JOIN suggestions g ON g.sample_id = s.id"


@dataclass
class _Buffer:
    """The best unlabeled samples of a project, best first."""

    samples: dict[int, Sample]
    complete: bool
    """No unlabeled sample is missing here."""


@dataclass
class _Filling:
    """What happened in a project while its best samples were being read."""

    project_id: int
    decided: set[int] = field(default_factory=set)
    outdated: bool = False


class LabelQueue:
    """Hands out unlabeled samples, best first."""

    def __init__(self, database: Database, counts: ProgressCounts) -> None:
        self._database = database
        self._counts = counts
        self._buffers: dict[tuple[int, QueueOrder], _Buffer] = {}
        self._fillings: list[_Filling] = []
        self._lock = threading.Lock()

    async def next(
        self, project: Project, order: QueueOrder, limit: int, caller: Caller, exclude: Collection[int] = ()
    ) -> Queue:
        """The next `limit` samples to label, without those of `exclude`, which the caller has already.

        Raises:
            Conflict: the project is not one of labeling.
        """
        require(caller, "read", project)
        project.require_task()
        left_out = frozenset(exclude)
        with self._lock:
            buffer = self._buffers.get((project.id, order))
            chosen = _choose(buffer, limit, left_out)
        if buffer is None or (len(chosen) < limit and not buffer.complete):
            buffer = await self._fill(project, order, max(BUFFER, limit + len(left_out)))
            with self._lock:
                chosen = _choose(buffer, limit, left_out)
        progress = await self._counts.progress(project, caller)
        return Queue(samples=tuple(QueuedSample(**dict(one)) for one in chosen), remaining=progress.unlabeled)

    def decided(self, project_id: int, sample_ids: Iterable[int]) -> None:
        """Samples were labeled, skipped or flagged. Called after the commit, on the writer thread."""
        decided = set(sample_ids)
        with self._lock:
            for (owner, _), buffer in self._buffers.items():
                if owner == project_id:
                    for sample_id in decided:
                        buffer.samples.pop(sample_id, None)
            for filling in self._fillings:
                if filling.project_id == project_id:
                    filling.decided |= decided

    def refresh(self, project_id: int) -> None:
        """There are other samples, or they are in another order. Called after the commit."""
        with self._lock:
            for key in [key for key in self._buffers if key[0] == project_id]:
                del self._buffers[key]
            for filling in self._fillings:
                if filling.project_id == project_id:
                    filling.outdated = True

    async def _fill(self, project: Project, order: QueueOrder, size: int) -> _Buffer:
        filling = _Filling(project.id)
        with self._lock:
            self._fillings.append(filling)
        try:
            samples, complete = await self._database.read(
                lambda cursor: _best(cursor, project.id, order, size)
            )
            with self._lock:
                buffer = _Buffer({one.id: one for one in samples if one.id not in filling.decided}, complete)
                if not filling.outdated:
                    self._buffers[project.id, order] = buffer
            return buffer
        finally:
            with self._lock:
                self._fillings.remove(filling)


def _choose(buffer: _Buffer | None, limit: int, left_out: frozenset[int]) -> list[Sample]:
    chosen: list[Sample] = []
    for sample in buffer.samples.values() if buffer else ():
        if len(chosen) == limit:
            break
        if sample.id not in left_out:
            chosen.append(sample)
    return chosen


def _best(cursor: Cursor, project_id: int, order: QueueOrder, size: int) -> tuple[list[Sample], bool]:
    """The best unlabeled samples, and whether those are all."""
    ranked = cursor.rows(
        f"""
        SELECT s.id, coalesce(strlen(s.text), 0) + coalesce(strlen(s.fields::VARCHAR), 0) AS characters
        FROM samples s {_SUGGESTIONS if order in ("uncertainty", "margin", "entropy") else ""}
        WHERE s.project_id = ?
          AND NOT EXISTS (SELECT 1 FROM sample_states st WHERE st.sample_id = s.id AND st.project_id = ?)
        ORDER BY {_ORDER[order]} LIMIT {size:d}
        """,
        project_id,
        project_id,
    )
    wanted: list[int] = []
    characters = 0
    for row in ranked:
        characters += row["characters"]
        if wanted and characters > MAX_BUFFERED_CHARACTERS:
            break
        wanted.append(row["id"])
    samples = [one for one in read_samples(cursor, wanted) if one.status == "unlabeled"]
    return samples, len(ranked) < size and len(wanted) == len(ranked)
