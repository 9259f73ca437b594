"""A sweep as the lab knows it: its run and its trials."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.tracking import Run

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client.lab import Lab

TAG = "sweep"
"""Marks the run of a sweep."""
PRUNED = "pruned"
"""Marks a trial that a pruner ended."""


@dataclass(frozen=True)
class SweepReport:
    """A sweep and its trials.

    Args:
        run: of the sweep.
        trials: in the order in which they began.
    """

    run: Run
    trials: tuple[Run, ...]

    @property
    def metric(self) -> str:
        return str(self.run.params["metric"])

    @property
    def is_max(self) -> bool:
        """Whether the greatest value is the best."""
        return bool(self.run.params["mode"] == "max")

    @property
    def planned(self) -> int | None:
        """How many trials there will be in the end; None: as many as the time allows."""
        trials = self.run.params["trials"]
        return None if trials is None else int(trials)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that differ between trials."""
        return tuple(name for name, one in self.run.params["space"].items() if isinstance(one, list | dict))

    @property
    def statuses(self) -> Counter[str]:
        """How many trials there are in each state; `pruned` is one of them."""
        return Counter(map(status_of, self.trials))

    def value(self, trial: Run) -> float | None:
        """The value of a trial; None unless it ran to its end and has one."""
        return trial.summary.get(self.metric) if trial.status == "finished" else None

    @property
    def ranking(self) -> list[Run]:
        """The trials with a value, the best first; of equal ones the first."""
        sign = -1 if self.is_max else 1
        valued = [
            (value * sign, one.id, one) for one in self.trials if (value := self.value(one)) is not None
        ]
        return [one for _, _, one in sorted(valued, key=lambda entry: entry[:2])]

    @property
    def best(self) -> Run | None:
        """The trial with the best value."""
        return next(iter(self.ranking), None)

    @property
    def rows(self) -> list[tuple[int, Run]]:
        """All trials with their numbers, those with a value first, the best on top."""
        numbers = {trial.id: number for number, trial in enumerate(self.trials, 1)}
        ranking = self.ranking
        ranked = {trial.id for trial in ranking}
        rest = [trial for trial in self.trials if trial.id not in ranked]
        return [(numbers[trial.id], trial) for trial in (*ranking, *rest)]

    @property
    def ended(self) -> list[Run]:
        """The trials that have ended, in the order in which they did."""
        ended = [(trial.ended_at, trial) for trial in self.trials if trial.ended_at is not None]
        return [trial for _, trial in sorted(ended, key=lambda entry: entry[0])]

    def params(self, trial: Run) -> dict[str, Any]:
        """What was tried in a trial."""
        return {name: trial.params.get(name) for name in self.names}

    @property
    def course(self) -> list[tuple[int, float, float]]:
        """Number, value, and best value so far of the trials with a value."""
        found: list[tuple[int, float, float]] = []
        choose = max if self.is_max else min
        for number, trial in enumerate(self.trials, 1):
            if (value := self.value(trial)) is not None:
                found.append((number, value, choose(value, found[-1][2]) if found else value))
        return found

    def table(self) -> "pl.DataFrame":
        """The trials, those with a value first, the best on top.

        The columns are `trial`, `run`, `status`, the metric, the parameters, `duration_s` and `error`.
        """
        import polars as pl

        numbers, rows = [place for place, _ in self.rows], [trial for _, trial in self.rows]
        columns: dict[str, pl.Series] = {
            "trial": pl.Series(numbers, dtype=pl.Int64),
            "run": pl.Series([trial.id for trial in rows], dtype=pl.Int64),
            "status": pl.Series([status_of(trial) for trial in rows], dtype=pl.String),
            self.metric: pl.Series([self.value(trial) for trial in rows], dtype=pl.Float64),
        }
        for name in self.names:
            title = f"params.{name}" if name in columns else name
            columns[title] = pl.Series([trial.params.get(name) for trial in rows], strict=False)
        columns["duration_s"] = pl.Series([duration_s(trial) for trial in rows], dtype=pl.Float64)
        columns["error"] = pl.Series([trial.error for trial in rows], dtype=pl.String)
        return pl.DataFrame(columns)


def status_of(trial: Run) -> str:
    """The state of a trial; `pruned` says more than that it was stopped."""
    return "pruned" if PRUNED in trial.tags else trial.status


def duration_s(trial: Run) -> float:
    """How long a trial took, or has taken."""
    return ((trial.ended_at or trial.heartbeat_at) - trial.started_at).total_seconds()


def read(lab: "Lab", run_id: int) -> SweepReport:
    """A sweep as the lab knows it now.

    Raises:
        NotFound: there is no such run.
        InvalidInput: it is no sweep's.
    """
    run = lab.run(run_id).record
    if not is_sweep(run):
        raise InvalidInput(f"Run {run_id} is no sweep's; `lab.sweep` makes those.")
    return SweepReport(run, trials_of(lab, run_id))


def is_sweep(run: Run) -> bool:
    """Whether a run is that of a sweep."""
    return TAG in run.tags and "space" in run.params


def trials_of(lab: "Lab", run_id: int) -> tuple[Run, ...]:
    """The trials of a sweep, in the order in which they began."""
    trials = lab.pages(Page[Run], "runs", {"parent_id": run_id})
    return tuple(sorted(trials, key=lambda trial: trial.id))
