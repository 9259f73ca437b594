"""How far the labeling of each project is, counted as it happens."""

import statistics
import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from modelship_lab.records.labeling import Progress, Project
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.storage.database import Cursor, Database, Transaction

TIMED_LABELS = 100
"""The pace is the median of this many human labels."""

State = tuple[str, tuple[str, ...]]
"""What was decided about a sample: its status, and the classes in its label."""


@dataclass
class _Tally:
    total: int
    states: Counter[State]
    durations_ms: deque[int] = field(default_factory=lambda: deque(maxlen=TIMED_LABELS))


class ProgressCounts:
    """Samples by state in every project that was asked about.

    A project is counted by one query the first time, inside a write and before that write changes
    anything; from then on each commit adds its own change. Both happen on the writer thread, so
    no change is missed or counted twice, and nobody waits for a count over 100,000 rows.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tallies: dict[int, _Tally] = {}
        self._lock = threading.Lock()

    def load(self, transaction: Transaction, project_id: int) -> None:
        """Count a project. Every write that will change its samples or labels does this first."""
        if project_id not in self._tallies:
            tally = _count(transaction, project_id)
            with self._lock:
                self._tallies[project_id] = tally

    def change(
        self,
        transaction: Transaction,
        project_id: int,
        *,
        samples: int = 0,
        states: dict[State, int] | None = None,
        durations_ms: Iterable[int] = (),
    ) -> None:
        """Have differences added once the transaction is on disk."""
        timed = tuple(durations_ms)

        def apply() -> None:
            with self._lock:
                tally = self._tallies.get(project_id)
                if tally is not None:
                    tally.total += samples
                    for state, difference in (states or {}).items():
                        tally.states[state] += difference
                    tally.durations_ms.extend(timed)

        transaction.after_commit(apply)

    def forget(self, project_id: int) -> None:
        with self._lock:
            self._tallies.pop(project_id, None)

    async def progress(self, project: Project, caller: Caller) -> Progress:
        """How far a project is, everything committed included."""
        require(caller, "read", project)
        if project.id not in self._tallies:
            await self._database.write(lambda transaction: self.load(transaction, project.id))
        with self._lock:
            tally = self._tallies.get(project.id) or _Tally(0, Counter())
            total, states, durations_ms = tally.total, dict(tally.states), list(tally.durations_ms)
        by_status: Counter[str] = Counter()
        classes = {status: dict.fromkeys(project.classes, 0) for status in ("labeled", "auto")}
        for (status, occurring), count in states.items():
            by_status[status] += count
            for name in occurring if status in classes else ():
                classes[status][name] += count
        unlabeled = total - by_status.total()
        pace = statistics.median(durations_ms) / 1000 if durations_ms else None
        return Progress(
            total=total,
            labeled=by_status["labeled"],
            auto=by_status["auto"],
            skipped=by_status["skipped"],
            flagged=by_status["flagged"],
            unlabeled=unlabeled,
            by_class=classes["labeled"],
            auto_by_class=classes["auto"],
            seconds_per_label=pace,
            remaining_s=None if pace is None else pace * unlabeled,
        )


def _count(cursor: Cursor, project_id: int) -> _Tally:
    total = cursor.value("SELECT count(*) FROM samples WHERE project_id = ?", project_id)
    states = cursor.rows(
        "SELECT status, coalesce(classes, CASE WHEN label IS NULL THEN [] ELSE [label] END) AS classes, "
        "count(*) AS samples FROM sample_states WHERE project_id = ? GROUP BY ALL",
        project_id,
    )
    durations_ms = cursor.column(
        "SELECT duration_ms FROM labels WHERE project_id = ? AND source = 'human' AND undoes IS NULL "
        f"AND duration_ms IS NOT NULL ORDER BY id DESC LIMIT {TIMED_LABELS:d}",
        project_id,
    )
    tally = _Tally(total, Counter({(row["status"], tuple(row["classes"])): row["samples"] for row in states}))
    tally.durations_ms.extend(reversed(durations_ms))
    return tally
