"""A sweep that this process executes: trials one after the other, or several at once in threads."""

import atexit
import math
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from modelship_lab.client.active_run import activated
from modelship_lab.client.metric_log import as_number
from modelship_lab.client.runs import RunHandle
from modelship_lab.client.sweeps.plan import Plan
from modelship_lab.client.sweeps.report import PRUNED
from modelship_lab.client.sweeps.search import Proposal, Search
from modelship_lab.records.errors import InvalidInput, LabError, TimedOut, Unavailable

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab

Objective = Callable[[RunHandle, dict[str, Any]], Any]
"""One trial: gets its run and its parameters; returns the metric's value, or logs it to the run."""

_AWAY_PATIENCE_S = 600.0
"""So long a lab server may be away between two trials."""
_AWAY_PAUSE_S = 1.0
_EXIT_PATIENCE_S = 4.0
"""Jupyter kills a kernel that takes longer to end."""


class Pruned(Exception):
    """The pruner ends the trial. `run.log` raises it in the objective, which should let it pass."""


class Execution:
    """The trials of a sweep while this process makes them.

    Args:
        lab: where the runs go.
        run: of the sweep; ended here.
        plan: what is to be done.
        search: says what is tried next.
        objective: makes a trial.
        trials: how many there have been, also those that count for nothing.
        done: how many there have been that count.
        best: the best value so far, and its run.
        settings: of the trials' runs.
    """

    def __init__(
        self,
        lab: "Lab",
        run: RunHandle,
        plan: Plan,
        search: Search,
        objective: Objective,
        *,
        trials: int = 0,
        done: int = 0,
        best: tuple[float, int] | None = None,
        settings: Mapping[str, Any],
    ) -> None:
        self._lab = lab
        self.run = run
        self._plan = plan
        self._search = search
        self._objective = objective
        self._settings = settings
        self._trials = trials
        self._left = math.inf if plan.planned is None else plan.planned - done
        self._done = done
        self._best = best
        self._failures = 0
        """In a row."""
        self._has_failed = False
        self._error = ""
        self._deadline = math.inf if plan.timeout_s is None else time.monotonic() + plan.timeout_s
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._going_on: dict[int, RunHandle] = {}
        self._ended = threading.Event()

    def start(self) -> None:
        """Make the trials in threads of their own."""
        # A kernel that is shut down must not wait for hours; `_stop_all` ends the trials cleanly.
        threading.Thread(target=self.work, name=f"mlship-sweep-{self.run.id}", daemon=True).start()

    def work(self) -> None:
        """Make the trials, the first of those at once in this thread.

        An interrupt ends the sweep and its trials; it is not raised, because what was found is wanted.
        """
        _executions[self] = None
        others = [
            threading.Thread(
                target=self._make_trials, name=f"mlship-sweep-{self.run.id}-{number}", daemon=True
            )
            for number in range(1, self._plan.parallel)
        ]
        try:
            for thread in others:
                thread.start()
            try:
                self._make_trials()
                self._join(others)
            except KeyboardInterrupt:
                self.stop(now=True)
                self._join(others)
        finally:
            self._end()
            _executions.pop(self, None)
            self._ended.set()

    def stop(self, *, now: bool = False) -> None:
        """Begin no more trials.

        Args:
            now: ask the present trials to end, too.
        """
        self.run.stop_event.set()
        if now:
            with self._lock:
                for run in self._going_on.values():
                    run.stop_event.set()

    def wait(self, timeout_s: float) -> bool:
        """Whether the sweep has ended, at the latest after `timeout_s`."""
        return self._ended.wait(timeout_s)

    def _join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            while thread.is_alive():
                # Short waits: an interrupt of the kernel only arrives between them.
                thread.join(0.2)

    def _make_trials(self) -> None:
        while True:
            with self._lock:
                if (
                    self._error
                    or self.run.stop_requested
                    or not self._left
                    or time.monotonic() > self._deadline
                ):
                    return
                proposal = self._search.ask()
                if proposal is None:
                    return
                self._left -= 1
                self._trials += 1
                number = self._trials
            try:
                run = self._begin(proposal.params, number)
            except LabError as error:
                self._error = f"Trial {number} could not be started: {error.message}"
                return
            try:
                self._make(run, proposal)
            finally:
                with self._lock:
                    self._going_on.pop(run.id, None)

    def _begin(self, params: Mapping[str, Any], number: int) -> RunHandle:
        deadline = time.monotonic() + _AWAY_PATIENCE_S
        while True:
            try:
                run = self._lab.start_run(
                    f"{self._plan.name} #{number}",
                    parent=self.run.id,
                    group=self._plan.name,
                    params=params,
                    # They are the sweep's: its trials share a machine and a cell.
                    system_metrics=False,
                    source=False,
                    **self._settings,
                )
                break
            except (Unavailable, TimedOut):
                if self.run.stop_requested or time.monotonic() > deadline:
                    raise
                time.sleep(_AWAY_PAUSE_S)
        with self._lock:
            self._going_on[run.id] = run
        return run

    def _make(self, run: RunHandle, proposal: Proposal) -> None:
        """One trial from its first step to its end."""
        observer = _Observer(run, self._plan.metric, proposal)
        run.observe(observer)
        try:
            with activated(run):
                returned = self._objective(run, dict(proposal.params))
            value = self._value(returned, observer)
        except (KeyboardInterrupt, SystemExit):
            proposal.end(None)
            run.stop_event.set()
            _finish(run, {})
            raise
        except Pruned:
            value = None
        except BaseException as error:
            if not observer.pruned:
                proposal.end(None)
                self._failed(run, error)
                return
        if observer.pruned:
            self._pruned(run, proposal, observer)
        else:
            self._finished(run, proposal, value)

    def _value(self, returned: Any, observer: "_Observer") -> float | None:
        metric = self._plan.metric
        value = observer.last if returned is None else as_number(metric, returned)
        if value is None and not observer.run.stop_requested:
            raise InvalidInput(
                f"The objective returned nothing and did not log {metric!r}: return its value, "
                f"or log it by run.log({{{metric!r}: value}})."
            )
        return value

    def _finished(self, run: RunHandle, proposal: Proposal, value: float | None) -> None:
        # A trial that somebody stopped has no value that could be compared.
        counts = value is not None and math.isfinite(value) and not run.stop_requested
        proposal.end(value if counts else None)
        _finish(run, {self._plan.metric: value} if value is not None and math.isfinite(value) else {})
        with self._telling:
            self._failures = 0
            self._done += 1
            if counts and value is not None:
                self._take(value, run.id)
            self._tell()

    def _take(self, value: float, run_id: int) -> None:
        sign = -1 if self._plan.mode == "max" else 1
        if self._best is None or value * sign < self._best[0] * sign:
            self._best = (value, run_id)
        self.run.log({"value": value, "best_value": self._best[0]}, step=self._done)

    def _pruned(self, run: RunHandle, proposal: Proposal, observer: "_Observer") -> None:
        proposal.end(None, pruned=True)
        run.set_tags((*run.record.tags, PRUNED))
        _finish(run, {"pruned_at_step": observer.step})
        with self._telling:
            self._failures = 0
            self._done += 1
            self._tell()

    def _failed(self, run: RunHandle, error: BaseException) -> None:
        if run.is_running:
            run.save_artifact("traceback.txt", "".join(traceback.format_exception(error)), "text/plain")
            run.fail(error.message if isinstance(error, LabError) else error)
        with self._telling:
            self._failures += 1
            self._has_failed = True
            if self._failures >= self._plan.max_failures:
                self._error = f"{self._failures} trials in a row failed; the last one (run {run.id}): {run.record.error}"
            self._tell()

    def _tell(self) -> None:
        """Keep how far it is with the sweep's run, so that everybody sees it."""
        figures: dict[str, float] = {"trials_done": self._done}
        if self._best is not None:
            figures |= {"best_value": self._best[0], "best_run": self._best[1]}
        self.run.set_summary(figures)

    def _end(self) -> None:
        if not self._error and not self.run.stop_requested and self._best is None and self._has_failed:
            self._error = "No trial has a value; the errors of the trials say why."
        if self._error:
            self.run.fail(self._error)
        else:
            self.run.finish()


class _Observer:
    """Hears what a trial logs, and hands its metric to the pruner."""

    def __init__(self, run: RunHandle, metric: str, proposal: Proposal) -> None:
        self.run = run
        self.last: float | None = None
        self.step = -1
        self.pruned = False
        self._metric = metric
        self._proposal = proposal

    def __call__(
        self, metrics: Mapping[str, Any], step: int | None, context: Mapping[str, str] | str | None
    ) -> None:
        # With a context it is another metric of the same name.
        if self._metric not in metrics or context:
            return
        self.last = as_number(self._metric, metrics[self._metric])
        self.step = self.step + 1 if step is None else int(step)
        self.pruned = self.pruned or self._proposal.report(self.last, self.step)
        if self.pruned:
            # For a loop that swallows the error but looks whether it is to stop.
            self.run.stop_event.set()
            raise Pruned(f"Pruned at step {self.step}, with {self._metric} = {self.last:g}.")


def _finish(run: RunHandle, summary: Mapping[str, float]) -> None:
    """End a trial, unless the objective has done so."""
    if summary:
        run.set_summary(summary)
    if run.is_running:
        run.finish()


_executions: dict[Execution, None] = {}


def goes_on(run_id: int) -> bool:
    """Whether this process makes the trials of a sweep."""
    return any(execution.run.id == run_id for execution in _executions)


@atexit.register
def _stop_all() -> None:
    """Give the trials that go on the time to end cleanly."""
    executions = list(_executions)
    for execution in executions:
        execution.stop(now=True)
    for execution in executions:
        execution.wait(_EXIT_PATIENCE_S / len(executions))
