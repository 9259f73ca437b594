"""The verbs of a lab that sweep."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from modelship_lab.client.lab_part import LabPart
from modelship_lab.client.runs import RunHandle
from modelship_lab.client.sweeps.execution import Objective
from modelship_lab.client.sweeps.plan import Plan
from modelship_lab.client.sweeps.report import read
from modelship_lab.client.sweeps.search import Pruner, Sampler
from modelship_lab.client.sweeps.space import Space, choice, loguniform, randint, uniform
from modelship_lab.client.sweeps.sweep import Sweep, start
from modelship_lab.records.metrics import Mode

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


class SweepVerbs(LabPart):
    """What a `Lab` has for sweeps."""

    uniform = staticmethod(uniform)
    loguniform = staticmethod(loguniform)
    randint = staticmethod(randint)
    choice = staticmethod(choice)

    def sweep(
        self,
        objective: Objective,
        space: Mapping[str, Any],
        *,
        name: str,
        metric: str,
        mode: Mode = "min",
        project: str | int | None = None,
        sampler: Sampler | None = None,
        trials: int | None = None,
        parallel: int = 1,
        timeout_s: float | None = None,
        pruner: "Pruner | BasePruner | None" = None,
        seed: int | None = None,
        max_failures: int = 5,
        tags: Iterable[str] = (),
        resume: bool | int | RunHandle = False,
        wait: bool = True,
    ) -> Sweep:
        """Try an objective with many parameters; every trial is a run, in the group of the sweep's name.

            def objective(run, params):
                for epoch in range(10):
                    ...
                    run.log({"loss": loss}, step=epoch)
                return loss

            sweep = lab.sweep(
                objective,
                {"learning_rate": lab.loguniform(1e-5, 1e-1), "layers": [1, 2, 4]},
                name="first", metric="loss", trials=50,
            )
            sweep.best_params

        The lab has all that there is to know of a sweep: after a crash the same call with `resume=True`
        makes the trials that are missing.

        Args:
            objective: makes a trial with its run and its parameters. Returns the value of the metric, or
                logs it; then the last one logged counts. When it raises, the trial has failed.
            space: for each parameter a list of values, or `lab.uniform(low, high)`, `lab.loguniform(low, high)`,
                `lab.randint(low, high)`; anything else is the same in every trial.
            name: of the sweep.
            metric: what is to become best.
            mode: whether the least or the greatest value is best.
            project: of all runs.
            sampler: `grid` tries every combination of the lists in their order; `random` and `tpe`
                (Tree-structured Parzen Estimator, Bergstra et al. 2011) are Optuna's. Default: `grid` when all
                parameters are lists and `trials` are enough for every combination, else `tpe`.
            trials: at most so many.
            parallel: how many at once, in threads of this process.
            timeout_s: after so many seconds no trial begins.
            pruner: `median`, `hyperband` or one of Optuna's: ends trials that do worse than others did at the
                same step, by the metric that they log. `run.log` raises then, which is to be let pass.
            seed: makes what the samplers draw repeatable.
            max_failures: so many failed trials in a row end the sweep.
            tags: of the sweep's run.
            resume: go on with the newest sweep of this name in the project, if there is one, or with the one
                whose run this is. Trials that failed or did not end are made again.
            wait: return when the sweep has ended; an interrupt ends it and its present trial. Otherwise it
                goes on in threads.

        Raises:
            InvalidInput: something of it cannot be.
            Conflict: the sweep to go on with is over another space, or goes on elsewhere.
            MissingDependency: Optuna is needed and not installed.
        """
        plan = Plan(
            name, Space(space), metric, mode, sampler, trials, parallel, timeout_s, pruner, seed, max_failures
        )
        return start(self._lab, objective, plan, project=project, tags=tags, resume=resume, wait=wait)

    def load_sweep(self, run_id: int) -> Sweep:
        """The sweep of a run.

        Raises:
            NotFound: there is no such run.
            InvalidInput: it is no sweep's.
        """
        return Sweep(self._lab, RunHandle(self._lab, read(self._lab, int(run_id)).run))
