"""Which parameters are tried next, and which trials are not worth their end: a grid, or Optuna."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from modelship_lab.client.sweeps.space import Space
from modelship_lab.records.errors import InvalidInput, MissingDependency
from modelship_lab.records.metrics import Mode

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import Trial

Sampler = Literal["grid", "random", "tpe"]
Pruner = Literal["median", "hyperband"]


@dataclass(frozen=True)
class PastTrial:
    """A trial that has ended before the search began."""

    params: Mapping[str, Any]
    value: float | None
    """None: it ended without a value that is a number."""
    is_pruned: bool = False
    course: Mapping[int, float] = field(default_factory=dict)
    """The metric by step."""


class Proposal(Protocol):
    """Parameters to try."""

    @property
    def params(self) -> dict[str, Any]:
        """By name, those that all trials have included."""

    def report(self, value: float, step: int) -> bool:
        """Take a value on the way; whether the trial is not worth going on."""

    def end(self, value: float | None, *, pruned: bool = False) -> None:
        """Take the value of the trial; None: it has none."""


class Search(Protocol):
    """A way through a space. May be used from any thread."""

    def ask(self) -> Proposal | None:
        """What to try next; None: everything was tried."""


def search(
    space: Space,
    *,
    mode: Mode,
    sampler: Sampler,
    pruner: "Pruner | BasePruner | None",
    seed: int | None,
    name: str,
    past: Iterable[PastTrial] = (),
) -> Search:
    """A way through `space` that goes on behind the trials of the past.

    Args:
        name: of the sweep; Hyperband's brackets follow from it.

    Raises:
        InvalidInput: no such pruner.
        MissingDependency: Optuna is needed and not installed.
    """
    past = list(past)
    grid = None
    if sampler == "grid":
        done = Counter(space.key(trial.params) for trial in past)
        # One that was tried is taken from the grid as often as it was.
        grid = _Remaining(space, done)
        if pruner is None:
            return grid
    return _OptunaSearch(space, mode, sampler, pruner, seed, name, past, grid)


@dataclass(frozen=True)
class _GridPoint:
    params: dict[str, Any]

    def report(self, value: float, step: int) -> bool:
        return False

    def end(self, value: float | None, *, pruned: bool = False) -> None:
        pass


class _Remaining:
    """The points of a grid that were not tried yet, in their order."""

    def __init__(self, space: Space, done: Counter[str]) -> None:
        self._space = space
        self._done = done
        self._points = space.grid()
        self._lock = threading.Lock()

    def ask(self) -> Proposal | None:
        with self._lock:
            for params in self._points:
                key = self._space.key(params)
                if self._done[key] == 0:
                    return _GridPoint(params)
                self._done[key] -= 1
        return None


class _OptunaSearch:
    """Optuna's samplers and pruners over a study in memory: what is to be kept is in the lab."""

    def __init__(
        self,
        space: Space,
        mode: Mode,
        sampler: Sampler,
        pruner: "Pruner | BasePruner | None",
        seed: int | None,
        name: str,
        past: list[PastTrial],
        grid: _Remaining | None,
    ) -> None:
        optuna = _optuna()
        self.space = space
        self.lock = threading.Lock()
        self._grid = grid
        self._distributions = _distributions(space)
        # After the same seed the same parameters would come again.
        seed = None if seed is None else seed + len(past)
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self.study: Study = optuna.create_study(
                study_name=name,
                direction="minimize" if mode == "min" else "maximize",
                sampler=_sampler(sampler, seed),
                pruner=_pruner(pruner),
            )
        finally:
            optuna.logging.set_verbosity(verbosity)
        for trial in past:
            self._add(trial)

    def ask(self) -> Proposal | None:
        with self.lock:
            if self._grid is not None:
                point = self._grid.ask()
                if point is None:
                    return None
                self.study.enqueue_trial(self._coded(point.params))
            trial = self.study.ask(self._distributions)
            return _OptunaProposal(self, trial, self._decoded(trial.params))

    def _add(self, past: PastTrial) -> None:
        from optuna.trial import TrialState, create_trial

        if past.is_pruned:
            state = TrialState.PRUNED
        else:
            state = TrialState.FAIL if past.value is None else TrialState.COMPLETE
        self.study.add_trial(
            create_trial(
                state=state,
                value=past.value if state is TrialState.COMPLETE else None,
                params=self._coded(past.params),
                distributions=self._distributions,
                intermediate_values=dict(past.course),
            )
        )

    def _coded(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Values as Optuna knows them: choices by their place, because it takes no lists and no mappings."""
        return {name: params[name] for name in self.space.ranges} | {
            name: self.space.place(name, params[name]) for name in self.space.choices
        }

    def _decoded(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return (
            {name: values[params[name]] for name, values in self.space.choices.items()}
            | {name: params[name] for name in self.space.ranges}
            | self.space.constants
        )


class _OptunaProposal:
    def __init__(self, owner: _OptunaSearch, trial: "Trial", params: dict[str, Any]) -> None:
        self.params = params
        self._owner = owner
        self._trial = trial
        self._step = -1

    def report(self, value: float, step: int) -> bool:
        # Steps that were reported, or negative ones, Optuna does not take.
        if step <= self._step:
            return False
        self._step = step
        with self._owner.lock:
            self._trial.report(value, step)
            return self._trial.should_prune()

    def end(self, value: float | None, *, pruned: bool = False) -> None:
        from optuna.trial import TrialState

        with self._owner.lock:
            if pruned:
                self._owner.study.tell(self._trial, state=TrialState.PRUNED)
            elif value is None:
                self._owner.study.tell(self._trial, state=TrialState.FAIL)
            else:
                self._owner.study.tell(self._trial, value)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingDependency(
            "Samplers other than 'grid', and pruners, are Optuna's: pip install \"modelship-lab[sweep]\"."
        ) from None
    return optuna


def _distributions(space: Space) -> "dict[str, BaseDistribution]":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, values in space.choices.items():
        found[name] = CategoricalDistribution(tuple(range(len(values))))
    for name, one in space.ranges.items():
        if one.integer:
            found[name] = IntDistribution(int(one.low), int(one.high), log=one.log)
        else:
            found[name] = FloatDistribution(one.low, one.high, log=one.log)
    return found


def _sampler(name: Sampler, seed: int | None) -> "BaseSampler":
    from optuna.samplers import RandomSampler, TPESampler

    # Points of a grid are handed in, so that no sampler is asked.
    return TPESampler(seed=seed) if name == "tpe" else RandomSampler(seed=seed)


def _pruner(pruner: "Pruner | BasePruner | None") -> "BasePruner":
    from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner

    if isinstance(pruner, BasePruner):
        return pruner
    match pruner:
        case None:
            return NopPruner()
        case "median":
            return MedianPruner()
        case "hyperband":
            return HyperbandPruner()
    raise InvalidInput(f"The pruner is {', '.join(get_args(Pruner))} or one of Optuna's, not {pruner!r:.60}.")
