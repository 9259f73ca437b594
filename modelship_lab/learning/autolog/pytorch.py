"""Plain PyTorch: a loop of `optimizer.step()` becomes a run, by the hooks that torch has for all optimizers and modules.

What is not known here: where the loop ends. In a notebook it ends with the cell, elsewhere when its optimizers are
gone or the process ends. A loss that is no module (`functional.cross_entropy`) passes no hook; log it by `run.log`
in a `with lab.start_run()`.
"""

import atexit
import gc
import sys
import threading
import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss
from torch.nn.modules.module import register_module_forward_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

from modelship_lab.learning.autolog.tracking import Tracked, Tracking, is_called_by

STEPS_PER_POINT_ON_DEVICE = 10
"""Reading a loss makes the processor wait for the GPU, so that is done this seldom."""
LONGEST_SUMMARY = 100_000

_TRAINERS = ("lightning.", "pytorch_lightning.", "transformers.trainer")
"""Whose loops are logged by their own callbacks."""


class Means:
    """Sums of losses that stay on their device until somebody reads them."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, name: str, loss: Tensor) -> None:
        total, count = self._sums.get(name, (None, 0))
        self._sums[name] = (loss if total is None else total + loss, count + 1)

    def read(self) -> dict[str, float]:
        """The mean of each since it was read last."""
        sums, self._sums = self._sums, {}
        return {name: float(total) / count for name, (total, count) in sums.items()}


class Training:
    """One loop in one thread: one run, one or more optimizers."""

    def __init__(self) -> None:
        self.tracked: Tracked | None = None
        self.has_begun = False
        self._step = -1
        self._means = Means()
        self._kinds: list[type] = []
        self._optimizers: list[weakref.ref[Optimizer]] = []

    def begin(self, tracked: Tracked | None) -> None:
        self.tracked = tracked
        self.has_begun = True

    def add(self, optimizer: Optimizer) -> None:
        self._optimizers.append(weakref.ref(optimizer))
        if (tracked := self.tracked) is not None:
            tracked.attempt(lambda: _describe(tracked, optimizer, len(self._optimizers)))

    @property
    def is_over(self) -> bool:
        """Whether nobody has its optimizers any more."""
        return self.has_begun and all(optimizer() is None for optimizer in self._optimizers)

    def take(self, module: nn.Module, loss: Tensor) -> None:
        """Keep a loss for the next point: `loss` of the first kind of loss module, `loss.<Kind>` of others."""
        if not self.has_begun:
            # Only what comes right before the first step belongs to it.
            self._means = Means()
        kind = type(module)
        if kind not in self._kinds:
            self._kinds.append(kind)
        name = "loss" if self._kinds[0] is kind else f"loss.{kind.__name__}"
        # A loss that nobody can learn from is a validation's.
        self._means.add(name if torch.is_grad_enabled() else f"val_{name}", loss)

    def count(self, optimizer: Optimizer) -> None:
        """Take note of a step. Where there are several optimizers, those of the first one count."""
        first = next((one for reference in self._optimizers if (one := reference()) is not None), None)
        if optimizer is not first or self.tracked is None:
            return
        self._step += 1
        on_cpu = optimizer.param_groups[0]["params"][0].device.type == "cpu"
        if on_cpu or self._step % STEPS_PER_POINT_ON_DEVICE == 0:
            self._flush({"learning_rate": optimizer.param_groups[0]["lr"]})

    def end(self, error: BaseException | None = None) -> None:
        if self.tracked is not None:
            self._flush({})
            self.tracked.end(error)

    def _flush(self, figures: dict[str, Any]) -> None:
        assert self.tracked is not None
        self.tracked.log(self._means.read() | figures, max(self._step, 0))


class TorchHooks:
    """Hear of every optimizer's steps and of every loss module's results."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._handles: list[RemovableHandle] = []
        self._trainings: dict[int, Training] = {}
        """By thread."""
        self._known: weakref.WeakKeyDictionary[Optimizer, Training | None] = weakref.WeakKeyDictionary()
        """None for an optimizer whose training somebody else logs."""
        self._events: Any = None

    def on(self) -> None:
        self._handles = [
            register_optimizer_step_post_hook(self._after_step),
            register_module_forward_hook(self._after_forward),
        ]
        atexit.register(self._at_exit)
        if (shell := _shell()) is not None:
            self._events = shell.events
            self._events.register("post_run_cell", self._after_cell)

    def off(self) -> None:
        for handle in self._handles:
            handle.remove()
        atexit.unregister(self._at_exit)
        if self._events is not None:
            self._events.unregister("post_run_cell", self._after_cell)
        self._end_all()

    def _after_forward(self, module: nn.Module, inputs: Any, output: Any) -> None:
        # All modules come by here.
        if isinstance(module, _Loss) and isinstance(output, Tensor) and output.ndim == 0:
            training = self._trainings.setdefault(threading.get_ident(), Training())
            self._tracking.attempt(lambda: training.take(module, output.detach()))

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if optimizer not in self._known:
            self._known[optimizer] = self._tracking.attempt(lambda: self._training_of(optimizer))
        if (training := self._known[optimizer]) is not None:
            self._tracking.attempt(lambda: training.count(optimizer))

    def _training_of(self, optimizer: Optimizer) -> Training | None:
        if is_called_by(*_TRAINERS):
            return None
        thread = threading.get_ident()
        training = self._trainings.setdefault(thread, Training())
        if training.is_over:
            self._end(thread)
            training = self._trainings[thread] = Training()
        if not training.has_begun:
            training.begin(self._tracking.begin(type(_model_of(optimizer) or optimizer).__name__))
        training.add(optimizer)
        return training

    def _after_cell(self, result: Any) -> None:
        error = result.error_in_exec or result.error_before_exec
        self._tracking.attempt(lambda: self._end(threading.get_ident(), error))

    def _at_exit(self) -> None:
        # What Python has just shown as unhandled; in a notebook that can be anything.
        self._end_all(getattr(sys, "last_value", None) if _shell() is None else None)

    def _end_all(self, error: BaseException | None = None) -> None:
        for thread in list(self._trainings):
            self._end(thread, error)

    def _end(self, thread: int, error: BaseException | None = None) -> None:
        training = self._trainings.pop(thread, None)
        if training is None:
            return
        for optimizer, its in list(self._known.items()):
            if its is training:
                del self._known[optimizer]
        training.end(error)


def _describe(tracked: Tracked, optimizer: Optimizer, number: int) -> None:
    prefix = "optimizer" if number == 1 else f"optimizer{number}"
    plain = {name: value for name, value in optimizer.defaults.items() if value is not None}
    tracked.log_params(
        {prefix: type(optimizer).__name__} | {f"{prefix}.{name}": value for name, value in plain.items()}
    )
    model = _model_of(optimizer)
    if model is not None:
        weights = sum(weight.numel() for weight in model.parameters())
        tracked.log_params({"model": type(model).__name__, "parameters": weights} if number == 1 else {})
        tracked.log_text("model.txt" if number == 1 else f"model{number}.txt", str(model)[:LONGEST_SUMMARY])


def _model_of(optimizer: Optimizer) -> nn.Module | None:
    """The outermost module with the optimizer's parameters, if there is one."""
    trained = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    # By type: asking objects of others for their class can do anything.
    modules = [one for one in gc.get_objects() if issubclass(type(one), nn.Module)]
    counts = [(sum(id(weight) in trained for weight in one.parameters()), one) for one in modules]
    most = max((count for count, _ in counts), default=0)
    found = [one for count, one in counts if count == most > 0]
    return max(found, key=lambda one: sum(1 for _ in one.modules()), default=None)


def _shell() -> Any:
    """The notebook, if this is one."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()
