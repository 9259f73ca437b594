"""What a sweep is to do: checked before anything is started, and kept in its run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from modelship_lab.client.sweeps.search import Pruner, Sampler
from modelship_lab.client.sweeps.space import Space
from modelship_lab.records.errors import Conflict, InvalidInput
from modelship_lab.records.metrics import Mode
from modelship_lab.records.tracking import Run

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do.

    Args:
        name: of the sweep, and of the group of its trials.
        metric: by which trials are compared.
        sampler: default: a grid where every parameter has a list and `trials` are enough for it, else TPE.
        trials: how many at most, those of an earlier process included; None: the whole grid, or no limit.
        parallel: how many at once, in threads.
        timeout_s: after so long no trial begins.
        max_failures: so many failed trials in a row end the sweep.

    Raises:
        InvalidInput: something of it cannot be.
    """

    name: str
    space: Space
    metric: str
    mode: Mode = "min"
    sampler: Sampler | None = None
    trials: int | None = None
    parallel: int = 1
    timeout_s: float | None = None
    pruner: "Pruner | BasePruner | None" = None
    seed: int | None = None
    max_failures: int = 5

    def __post_init__(self) -> None:
        for what in ("name", "metric"):
            if not isinstance(text := getattr(self, what), str) or not text:
                raise InvalidInput(f"A sweep has a {what}; {text!r:.60} is none.")
        for what in ("trials", "parallel", "max_failures"):
            number = getattr(self, what)
            if number is not None and (not isinstance(number, int) or number < 1):
                raise InvalidInput(f"`{what}` is a whole number from 1, not {number!r:.60}.")
        for what, known in (("mode", Mode), ("sampler", Sampler)):
            word = getattr(self, what)
            if word not in get_args(known) and (what, word) != ("sampler", None):
                raise InvalidInput(f"The {what} is {' or '.join(get_args(known))}, not {word!r:.60}.")
        size = self.space.size
        if self.sampler is None:
            fits = size is not None and (self.trials is None or size <= self.trials)
            object.__setattr__(self, "sampler", "grid" if fits else "tpe")
        if self.sampler == "grid":
            self.space.grid()
        elif self.trials is None and self.timeout_s is None:
            raise InvalidInput(
                f"The sampler '{self.sampler}' never ends: say how many `trials`, or `timeout_s`."
            )

    @property
    def planned(self) -> int | None:
        """How many trials there will be; None: as many as the time allows."""
        if self.sampler != "grid":
            return self.trials
        size = self.space.size
        return size if self.trials is None or size is None else min(size, self.trials)

    def params(self) -> dict[str, Any]:
        """The plan as parameters of the sweep's run."""
        pruner = (
            self.pruner if self.pruner is None or isinstance(self.pruner, str) else type(self.pruner).__name__
        )
        return {
            "metric": self.metric,
            "mode": self.mode,
            "sampler": self.sampler,
            "trials": self.planned,
            "parallel": self.parallel,
            "pruner": pruner,
            "space": self.space.as_json(),
        }

    def check_continues(self, sweep: Run) -> None:
        """Raise Conflict unless this plan can go on with the trials of an earlier sweep."""
        mine, its = self.params(), sweep.params
        differing = [name for name in ("space", "metric", "mode") if mine[name] != its.get(name)]
        if differing:
            raise Conflict(
                f"The sweep '{sweep.name}' (run {sweep.id}) has another {' and '.join(differing)}. "
                "Give this one a name of its own, or start anew with resume=False."
            )
