"""A sweep: start it, go on with it, look at it."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from modelship_lab.client.runs import RunHandle
from modelship_lab.client.sweeps.execution import Execution, Objective, goes_on
from modelship_lab.client.sweeps.plan import Plan
from modelship_lab.client.sweeps.report import PRUNED, TAG, SweepReport, read, trials_of
from modelship_lab.client.sweeps.search import PastTrial, search
from modelship_lab.records.errors import Conflict
from modelship_lab.records.tracking import Run, RunChange

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client.lab import Lab


class Sweep:
    """One sweep of the lab.

    Args:
        lab: where it is.
        run: of the sweep, whose children are its trials.
        execution: makes the trials, if this process does.
    """

    def __init__(self, lab: "Lab", run: RunHandle, execution: Execution | None = None) -> None:
        self._lab = lab
        self._execution = execution
        self.run = run
        """The sweep's run: what is swept, how far it is, the best value by trials done."""

    def __repr__(self) -> str:
        return f"Sweep{repr(self.run).removeprefix('Run')}"

    @property
    def id(self) -> int:
        return self.run.id

    @property
    def lab(self) -> "Lab":
        return self._lab

    @property
    def is_running(self) -> bool:
        """Whether it goes on, as far as is known here without asking the server."""
        return self.run.is_running

    def report(self) -> SweepReport:
        """The sweep and its trials as the lab knows them now."""
        return read(self._lab, self.run.id)

    def trials(self) -> "pl.DataFrame":
        """The trials, the best first: `trial`, `run`, `status`, the metric, the parameters, `duration_s`, `error`."""
        return self.report().table()

    @property
    def best(self) -> RunHandle | None:
        """The run of the best trial so far; None: none has a value."""
        found = self.report().best
        return None if found is None else RunHandle(self._lab, found)

    @property
    def best_value(self) -> float | None:
        """The best value so far."""
        report = self.report()
        return None if report.best is None else report.value(report.best)

    @property
    def best_params(self) -> dict[str, Any] | None:
        """The parameters of the best trial so far, those that all trials have included."""
        report = self.report()
        if report.best is None:
            return None
        return {name: report.best.params.get(name) for name in report.run.params["space"]}

    def stop(self, *, now: bool = False) -> None:
        """Have no more trials begun, wherever they are made.

        Args:
            now: ask the present trials to end, too, which then have no value. Only here, where they are made.
        """
        if self._execution is not None:
            self._execution.stop(now=now)
        self.run.stop()

    def wait(self, timeout_s: float | None = None) -> "Sweep":
        """Wait until the sweep has ended, at the latest until `timeout_s`."""
        self.run.wait(timeout_s)
        return self


def find(lab: "Lab", plan: Plan, project: str | int | None, resume: "bool | int | RunHandle") -> Run | None:
    """The run of the sweep that `start` would go on with.

    Raises:
        NotFound, InvalidInput: the run that was named is not there, or no sweep's.
        Conflict: it goes on in this process.
    """
    if resume is False:
        return None
    if resume is True:
        named = (run for run in lab.run_records(project) if run.name == plan.name and TAG in run.tags)
        found = next(named, None)
    else:
        found = read(lab, resume if isinstance(resume, int) else resume.id).run
    if found is not None and goes_on(found.id):
        raise Conflict(f"The sweep '{found.name}' (run {found.id}) goes on in this process; stop it first.")
    return found


def start(
    lab: "Lab",
    objective: Objective,
    plan: Plan,
    *,
    project: str | int | None = None,
    tags: Iterable[str] = (),
    resume: "bool | int | RunHandle" = False,
    wait: bool = True,
    settings: Mapping[str, Any] | None = None,
    trial_settings: Mapping[str, Any] | None = None,
) -> Sweep:
    """Make the trials of a plan, or those that an earlier sweep has left.

    Args:
        resume: True: go on with the newest sweep of this name, or begin one; or the run of a sweep.
        wait: whether to return when it has ended; or at once, while threads go on with it.
        settings: of the sweep's run.
        trial_settings: of the trials' runs.

    Raises:
        InvalidInput: there is no such sweep.
        Conflict: the sweep to go on with is over another space, or goes on elsewhere.
        MissingDependency: Optuna is needed and not installed.
    """
    earlier = find(lab, plan, project, resume)
    trials = trials_of(lab, earlier.id) if earlier is not None else ()
    past: list[PastTrial] = []
    best = None
    if earlier is not None:
        plan.check_continues(earlier)
        report = SweepReport(earlier, trials)
        past = _past(lab, report, plan)
        if report.best is not None:
            best = (report.best.summary[plan.metric], report.best.id)
        if plan.planned is not None and len(past) >= plan.planned:
            return Sweep(lab, lab.run(earlier.id))
    assert plan.sampler is not None
    found = search(
        plan.space,
        mode=plan.mode,
        sampler=plan.sampler,
        pruner=plan.pruner,
        seed=plan.seed,
        name=plan.name,
        past=past,
    )
    if earlier is None:
        run = lab.start_run(
            plan.name, project=project, params=plan.params(), tags=(TAG, *tags), **(settings or {})
        )
    else:
        run = lab.resume_run(earlier.id)
        run.log_params(plan.params())
        for trial in trials:
            if trial.ended_at is None:
                # What made it has made the sweep, and is gone: else the sweep could not have been resumed.
                change = RunChange(status="interrupted")
                lab.request("PATCH", f"runs/{trial.id}", json=change, repeatable=True)
    execution = Execution(
        lab,
        run,
        plan,
        found,
        objective,
        trials=len(trials),
        done=len(past),
        best=best,
        settings=trial_settings or {},
    )
    sweep = Sweep(lab, run, execution)
    lab.verbs.show_sweep(sweep)
    if wait:
        execution.work()
    else:
        execution.start()
    return sweep


def _past(lab: "Lab", report: SweepReport, plan: Plan) -> list[PastTrial]:
    """The trials that count; one that failed or was interrupted is made again."""
    past = []
    for trial in report.trials:
        is_pruned = PRUNED in trial.tags
        if (trial.status == "finished" or is_pruned) and plan.space.has(trial.params):
            # Only a pruner looks at how a trial went.
            course = {} if plan.pruner is None else _course(lab, trial, plan.metric)
            past.append(PastTrial(trial.params, report.value(trial), is_pruned, course))
    return past


def _course(lab: "Lab", trial: Run, metric: str) -> dict[int, float]:
    points = RunHandle(lab, trial).metrics_frame([metric])
    return {
        step: value
        for step, value in zip(points["step"], points["value"], strict=True)
        if math.isfinite(value)
    }
