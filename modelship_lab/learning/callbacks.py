"""What happens beside the training steps: metrics, the best weights, the end on request."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

__all__ = ["BestWeights", "MetricLogger", "Stopper"]

POINTS = 2000
"""About so many points of each training curve are logged at most."""
LEAST_STEPS_ON_DEVICE = 10
"""Reading a loss makes the processor wait for the GPU, so that is done this seldom at most."""


class _Log(Protocol):
    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None: ...


class MetricLogger(Callback):
    """Log the mean training loss since the last point, the learning rate, and the figures of every epoch.

    Args:
        run: where to; its `log` must not wait.
        rows: training rows in one epoch.
        steps: of the whole training.
    """

    def __init__(self, run: _Log, rows: int, steps: int) -> None:
        self._run = run
        self._rows = rows
        self._steps = steps
        self._every = 1
        self._loss: Tensor | None = None
        self._count = 0
        self._epoch_start_s = 0.0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._every = max(1, self._steps // POINTS)
        if module.device.type != "cpu":
            self._every = max(self._every, LEAST_STEPS_ON_DEVICE)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._epoch_start_s = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"].detach()
        self._loss = loss if self._loss is None else self._loss + loss
        self._count += 1
        if self._count >= self._every:
            self._flush(trainer)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self._count:
            self._flush(trainer)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        seconds = time.perf_counter() - self._epoch_start_s
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        # The validation is within the epoch's time: it is what a user waits for.
        figures |= {"epoch": float(trainer.current_epoch + 1), "samples_per_s": self._rows / seconds}
        self._run.log(figures, step=trainer.global_step)

    def _flush(self, trainer: Trainer) -> None:
        assert self._loss is not None
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        figures = {"train_loss": float(self._loss) / self._count, "learning_rate": rate}
        self._run.log(figures, step=trainer.global_step)
        self._loss, self._count = None, 0


class BestWeights(Callback):
    """Keep the weights of the epoch with the lowest validation loss.

    They are kept in memory: a copy there takes a fraction of the time of a file. What must outlive the
    process is handed to `save` now and then.

    Args:
        network: whose weights.
        save: takes the best weights; called between epochs, at most every `interval_s`.
        interval_s: seconds between two calls.
    """

    def __init__(
        self, network: nn.Module, save: Callable[[dict[str, Tensor]], None], interval_s: float = 30.0
    ) -> None:
        self._network = network
        self.weights: dict[str, Tensor] | None = None
        self.figures: dict[str, float] = {}
        """Of the validation of the best epoch, with `epoch` counted from 1."""
        self._save = save
        self._interval_s = interval_s
        self._saved_at_s = time.monotonic()
        self._is_saved = True

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if figures["val_loss"] < self.figures.get("val_loss", float("inf")):
            self.figures = {**figures, "epoch": float(trainer.current_epoch + 1)}
            self.weights = {
                name: tensor.detach().clone() for name, tensor in self._network.state_dict().items()
            }
            self._is_saved = False
        is_due = time.monotonic() - self._saved_at_s > self._interval_s
        if self.weights is not None and not self._is_saved and is_due:
            self._save(self.weights)
            self._saved_at_s = time.monotonic()
            self._is_saved = True


class Stopper(Callback):
    """End training after the current step when somebody asks.

    Args:
        requested: whether somebody has.
        on_step: called with the number of steps done and the epoch from 1.
    """

    def __init__(self, requested: Callable[[], bool], on_step: Callable[[int, int], None]) -> None:
        self.stopped = False
        self._requested = requested
        self._on_step = on_step

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._on_step(trainer.global_step, trainer.current_epoch + 1)
        if self._requested():
            self.stopped = True
            trainer.should_stop = True


def on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of weights in main memory."""
    return {name: torch.empty_like(tensor, device="cpu").copy_(tensor) for name, tensor in weights.items()}
