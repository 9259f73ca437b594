"""Runs that were asked for lately, kept in memory."""

import threading
from collections import OrderedDict

from modelship_lab.records.events import Event
from modelship_lab.records.tracking import Run

REMEMBERED = 256
"""Runs that are kept; one can carry a list of all packages of its environment."""


class RecentRuns:
    """The runs that were asked for last. Touched by the event loop and by the writer thread."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._runs: OrderedDict[int, Run] = OrderedDict()
        self._lock = threading.Lock()
        self.generation = 0
        """Counts the commits that changed a run: what was read while one of them was under way may be old."""

    def get(self, run_id: int) -> Run | None:
        with self._lock:
            run = self._runs.get(run_id)
            if run is not None:
                self._runs.move_to_end(run_id)
            return run

    def offer(self, run: Run, generation: int) -> None:
        """Keep a run that was read, if nothing was committed since `generation`."""
        with self._lock:
            if generation == self.generation:
                self._keep(run)

    def committed(self, run: Run) -> None:
        """Keep a run as it is from now on. Called after the commit, on the writer thread."""
        with self._lock:
            self.generation += 1
            self._keep(run)

    def forget(self, *run_ids: int) -> None:
        """Drop runs that were changed or deleted. Called after the commit, on the writer thread."""
        with self._lock:
            self.generation += 1
            for run_id in run_ids:
                self._runs.pop(run_id, None)

    def hear(self, event: Event) -> None:
        """Drop the runs of a project that has another name now, is public or not, or is gone."""
        if event.type in ("project.changed", "project.deleted"):
            project_id = int(event.topic.removeprefix("project:"))
            with self._lock:
                affected = [run.id for run in self._runs.values() if run.project_id == project_id]
            self.forget(*affected)

    def _keep(self, run: Run) -> None:
        self._runs[run.id] = run
        self._runs.move_to_end(run.id)
        if len(self._runs) > self._limit:
            self._runs.popitem(last=False)
