"""Switch autologging on and off."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from modelship_lab.learning.autolog.imports import forget, when_imported
from modelship_lab.learning.autolog.tracking import Tracking
from modelship_lab.records.errors import InvalidInput

if TYPE_CHECKING:
    from modelship_lab.client import Lab

__all__ = ["FRAMEWORKS", "Autologging", "autolog"]

log = logging.getLogger(__name__)


class Hooks(Protocol):
    """What is hung into a framework."""

    def on(self) -> None: ...

    def off(self) -> None:
        """Leave the framework exactly as it was, and end what is still going on."""


@dataclass(frozen=True)
class Framework:
    """A library that trains.

    Args:
        package: that is installed.
        module: with whose import the hooks can be hung in.
        hooks: module and class of the hooks.
        logs: what becomes of a training, in one sentence.
    """

    package: str
    module: str
    hooks: tuple[str, str]
    logs: str


_HERE = "modelship_lab.learning.autolog"
FRAMEWORKS = {
    "sklearn": Framework(
        "sklearn",
        "sklearn.base",
        (f"{_HERE}.sklearn", "SklearnHooks"),
        "every outermost `fit` of a model is a run: parameters, training score, importances, candidates of a search",
    ),
    "pytorch": Framework(
        "torch",
        "torch",
        (f"{_HERE}.pytorch", "TorchHooks"),
        "a loop of `optimizer.step()` is a run: optimizer, loss of loss modules, learning rate, the model's layers",
    ),
    "transformers": Framework(
        "transformers",
        "transformers.trainer",
        (f"{_HERE}.transformers", "TrainerHooks"),
        "every `Trainer.train` is a run: arguments, model configuration, metrics, evaluations",
    ),
}


@dataclass(frozen=True)
class Autologging:
    """What is logged by itself from now on: a sentence for each framework."""

    logged: dict[str, str]


_hooks: dict[str, Hooks] = {}
"""Of each framework that is autologged now; those whose import is waited for are in `_waiting`."""
_waiting: set[str] = set()


def autolog(
    lab: "Lab",
    frameworks: Iterable[str] | None = None,
    disable: bool = False,
    on_start: Callable[[Any], None] = lambda run: None,
) -> Autologging:
    """Log the trainings of other libraries to runs by themselves, or no longer.

    A library that is not imported yet is hooked into when it is.

    Args:
        lab: where the runs are started.
        frameworks: of `FRAMEWORKS`; default: all that are installed.
        disable: leave them as they were before.
        on_start: hears of every run that is started.

    Raises:
        InvalidInput: a framework that is not known or not installed.
    """
    if isinstance(frameworks, str):
        frameworks = (frameworks,)
    chosen = list(frameworks or [])
    for name in chosen:
        if name not in FRAMEWORKS:
            raise InvalidInput(f"{name!r:.80} cannot be autologged; there are {', '.join(FRAMEWORKS)}.")
        if find_spec(FRAMEWORKS[name].package) is None:
            raise InvalidInput(
                f"'{name}' is not installed: install {FRAMEWORKS[name].package}, and call this again."
            )
    chosen = chosen or [name for name, one in FRAMEWORKS.items() if find_spec(one.package) is not None]
    for name in chosen:
        _off(name)
        if not disable:
            _on(name, Tracking(lab, name, on_start))
    return Autologging(
        {name: FRAMEWORKS[name].logs for name in FRAMEWORKS if name in (_hooks.keys() | _waiting)}
    )


def _on(name: str, tracking: Tracking) -> None:
    framework = FRAMEWORKS[name]

    def hang_in() -> None:
        _waiting.discard(name)
        try:
            module, kind = framework.hooks
            hooks: Hooks = getattr(import_module(module), kind)(tracking)
            hooks.on()
        except Exception:
            # It happens in the middle of somebody's import.
            log.warning("Autologging of %s could not be switched on.", name, exc_info=True)
        else:
            _hooks[name] = hooks

    _waiting.add(name)
    when_imported(framework.module, hang_in)


def _off(name: str) -> None:
    if name in _waiting:
        _waiting.discard(name)
        forget(FRAMEWORKS[name].module)
    if (hooks := _hooks.pop(name, None)) is not None:
        hooks.off()
