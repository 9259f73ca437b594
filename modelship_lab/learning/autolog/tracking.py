"""The runs of autologged trainings. Whatever fails here, the training does not notice."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from modelship_lab.client.active_run import activated, active_run

if TYPE_CHECKING:
    from modelship_lab.client import Lab

log = logging.getLogger(__name__)

Result = TypeVar("Result")

RETRY_AFTER_S = 60.0
"""A lab that is away is not asked for every training again."""
LONGEST_NAME = 200
LONGEST_VALUE = 500
MOST_PARAMS = 500


class Tracking:
    """Where the trainings of one framework go.

    Args:
        lab: where runs are started.
        framework: what trains; a tag of its runs.
        on_start: hears of every run that is started.
    """

    def __init__(self, lab: "Lab", framework: str, on_start: Callable[[Any], None]) -> None:
        self._lab = lab
        self._framework = framework
        self._on_start = on_start
        self._away_until_s = 0.0
        self._has_warned = False

    def attempt(self, work: Callable[[], Result]) -> Result | None:
        """Do it, or warn once that it cannot be done."""
        try:
            return work()
        except Exception as error:
            if not self._has_warned:
                self._has_warned = True
                log.warning(
                    "Autologging of %s: %s: %s. Training goes on.",
                    self._framework,
                    type(error).__name__,
                    getattr(error, "message", error),
                )
            return None

    def begin(self, name: str) -> "Tracked | None":
        """The active run, or one that is started; None when there can be none."""
        if (run := active_run()) is not None:
            return Tracked(self, run, own=False)
        if time.monotonic() < self._away_until_s:
            return None
        run = self.attempt(
            lambda: self._lab.start_run(name[:LONGEST_NAME], tags=("autolog", self._framework))
        )
        if run is None:
            self._away_until_s = time.monotonic() + RETRY_AFTER_S
            return None
        self.attempt(lambda: self._on_start(run))
        return Tracked(self, run, own=True)


class Tracked:
    """One training and its run; no method raises.

    Args:
        tracking: of the framework that trains.
        run: where to.
        own: whether the run was started for this training, and ends with it.
    """

    def __init__(self, tracking: Tracking, run: Any, *, own: bool) -> None:
        self.run = run
        self._tracking = tracking
        self._own = own

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self._tracking.attempt(lambda: self.run.log(metrics, step))

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log the first 500 settings; what is no plain value becomes its text."""
        chosen = list(params.items())[:MOST_PARAMS]
        self._tracking.attempt(lambda: self.run.log_params({name: _plain(value) for name, value in chosen}))

    def set_summary(self, figures: Mapping[str, Any]) -> None:
        self._tracking.attempt(lambda: self.run.set_summary(figures))

    def log_text(self, name: str, text: str) -> None:
        self._tracking.attempt(lambda: self.run.log_text(name, text))

    def log_table(self, name: str, columns: Mapping[str, Any]) -> None:
        """Log a table that is given by its columns."""
        import polars as pl

        self._tracking.attempt(lambda: self.run.log_table(name, pl.DataFrame(columns, strict=False)))

    def log_figure(self, name: str, figure: Any) -> None:
        self._tracking.attempt(lambda: self.run.log_figure(name, figure))

    def attempt(self, work: Callable[[], Result]) -> Result | None:
        """Do it, or warn once that it cannot be done."""
        return self._tracking.attempt(work)

    @property
    def stop_requested(self) -> bool:
        return bool(self.run.stop_requested)

    def end(self, error: BaseException | None = None) -> None:
        """End the run if it is this training's own."""
        if self._own:
            self._tracking.attempt(lambda: self._end(error))

    def _end(self, error: BaseException | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.run.stop_event.set()
        if error is None or isinstance(error, KeyboardInterrupt):
            self.run.finish()
        else:
            self.run.fail(error)


@contextmanager
def inside(tracked: Tracked | None) -> Iterator[None]:
    """What is trained in here belongs to this training's run."""
    if tracked is None:
        yield
        return
    with activated(tracked.run):
        yield


def is_called_by(*modules: str) -> bool:
    """Whether code of a module whose name begins so is waiting for us."""
    frame = sys._getframe().f_back
    while frame is not None and not str(frame.f_globals.get("__name__", "")).startswith(modules):
        frame = frame.f_back
    return frame is not None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(one, (bool, int, float, str)) for one in value):
        return list(value[:LONGEST_VALUE])
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", 1) == 0:
        return item()
    return str(value)[:LONGEST_VALUE]
