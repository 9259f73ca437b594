"""The training loop of the recipes, on Lightning Fabric: steps, validations, and a state from which it goes on exactly."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.amp import GradScaler

from modelship_lab.learning.network import Network
from modelship_lab.learning.objectives import Objective
from modelship_lab.learning.pace import LEAST_STEPS_ON_DEVICE, POINTS, Pace
from modelship_lab.learning.rows import Batches
from modelship_lab.learning.run_log import RunLog
from modelship_lab.learning.schedules import rate_factor
from modelship_lab.learning.training_state import TrainingState
from modelship_lab.records.errors import TrainingFailed
from modelship_lab.records.recipe_options import TrainingOptions

__all__ = ["Loop", "on_cpu"]

log = logging.getLogger(__name__)

MOST_KEPT = 100
"""States that are kept of one training: where epochs are short, keeping each would take longer than training."""


@dataclass
class Loop:
    """One training of a network.

    A step is one of the optimizer's: the gradients of one batch, which is computed in so many parts as memory makes
    necessary. What it depends on is the state alone, so that a training that goes on from a saved state ends with
    the same weights as one that was never interrupted.

    Args:
        fabric: the device and its arithmetic.
        network: what is trained, on the device.
        objective: what for.
        weights: float (outputs), how much each class counts in the loss; None: the same.
        training: the batches of a pass; each is one step.
        validation: its batches.
        options: how.
        epochs: most passes.
        patience: of them without a better validation loss before it stops; 0: never.
        learning_rate: its highest value.
        run: where metrics go.
        stop_requested: whether training is to end after the step.
        on_step: called with the steps done and the epoch from 1.
        save: takes the state; called at most every `checkpoint_every_s`.
        keep: takes the state at the end of each epoch, of more than `MOST_KEPT` of so many of them and of those at
            which it is saved; None: nobody wants it.
    """

    fabric: Fabric
    network: Network
    objective: Objective
    weights: Tensor | None
    training: Batches
    validation: Batches
    options: TrainingOptions
    epochs: int
    patience: int
    learning_rate: float
    run: RunLog
    stop_requested: Callable[[], bool]
    on_step: Callable[[int, int], None]
    save: Callable[[TrainingState], None]
    keep: Callable[[TrainingState], None] | None = None
    state: TrainingState = field(default_factory=TrainingState)
    stopped: bool = False
    """Whether it ended because somebody asked."""

    def __post_init__(self) -> None:
        self.parts = self.options.accumulate
        """In how many a batch is computed."""
        self.steps = len(self.training) * self.epochs
        self.optimizer = adamw(self.network, self.learning_rate, self.options.weight_decay)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        # With fp16 the loss is scaled; Fabric's step takes the scale off the gradients and passes over what overflows.
        self._scaler: GradScaler | None = getattr(self.fabric.strategy.precision, "scaler", None)
        self._stepping: Any = self.fabric.setup_optimizers(self.optimizer)
        self._keep_every = math.ceil(self.epochs / MOST_KEPT)
        every = max(1, self.steps // POINTS)
        on_device = self.fabric.device.type != "cpu"
        self._every = max(every, LEAST_STEPS_ON_DEVICE) if on_device else every

    def run_to_end(self) -> None:
        """Train until the last epoch, until it gets no better, until time is up, or until it is asked to stop.

        Raises:
            TrainingFailed: the loss is no number any more, or memory ran out; says what to do.
        """
        state = self.state
        if state.optimizer:
            state.restore(self.network, self.optimizer, self._scaler)
        self._started_s = time.perf_counter() - state.seconds
        self._saved_s = time.perf_counter()
        self._pace = Pace(self.steps, state.step)
        self._loss: Tensor | None = None
        self._count = 0
        while state.epoch < self.epochs and not self._is_done():
            self.network.begin_epoch(state.epoch, self.epochs)
            self._epoch()
            if self.stopped:
                break
            self._validate()
            state.epoch, state.position = state.epoch + 1, 0
            self._show()
            self._save_if_due(epoch_ended=True)
        if self._count:
            self._flush()
        self._show()
        state.capture(self.network, self.optimizer, self._scaler)

    @property
    def is_out_of_time(self) -> bool:
        """Whether the time budget is spent."""
        budget_s = self.options.time_budget_s
        return budget_s is not None and self.state.seconds >= budget_s

    def _is_done(self) -> bool:
        return self.is_out_of_time or bool(self.patience and self.state.epochs_without >= self.patience)

    def _epoch(self) -> None:
        state = self.state
        self.network.train()
        for inputs, targets in self.training.of_pass(state.epoch, state.position):
            factor = self._rate_factor()
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * factor
            loss = self._gradients(*self._moved(inputs, targets))
            self._stepping.step()
            self.optimizer.zero_grad()
            state.step += 1
            state.position += 1
            state.seconds = time.perf_counter() - self._started_s
            self._loss = loss if self._loss is None else self._loss + loss
            self._count += 1
            self._pace.rows += len(targets)
            if self._count >= self._every:
                self._flush()
            self.on_step(state.step, state.epoch + 1)
            if self.stop_requested():
                self.stopped = True
                return
            if self.is_out_of_time:
                return
            self._save_if_due(epoch_ended=False)

    def _rate_factor(self) -> float:
        done: float = self.state.step
        if self.options.time_budget_s is not None:
            # Whichever ends training sooner; the rate then reaches its lowest when time is up.
            done = max(done, self.state.seconds / self.options.time_budget_s * self.steps)
        return rate_factor(done, self.steps, self.options.schedule, self.options.warmup)

    def _gradients(self, inputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        """Compute those of a batch, in twice as many parts whenever memory runs out; returns the loss."""
        while True:
            try:
                if self.parts == 1:
                    with self.fabric.autocast():
                        loss = self.network.loss(inputs, targets, self._criterion)
                    self._backward(loss)
                    return loss.detach()
                return self._gradients_of_parts(inputs, targets)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._halve(len(targets), error)

    def _gradients_of_parts(self, inputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        total = torch.zeros((), device=targets.device)
        for places in torch.arange(len(targets), device=targets.device).tensor_split(self.parts):
            if not len(places):
                continue
            part = {name: tensor[places] for name, tensor in inputs.items()}
            with self.fabric.autocast():
                loss = self.network.loss(part, targets[places], self._criterion)
                loss = loss * (len(places) / len(targets))
            self._backward(loss)
            total += loss.detach()
        return total

    def _backward(self, loss: Tensor) -> None:
        scaled = loss if self._scaler is None else self._scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]

    def _halve(self, rows: int, error: BaseException) -> None:
        self.optimizer.zero_grad()
        if self.parts >= rows:
            raise TrainingFailed(
                "Memory ran out in training, even with one row at a time. Train a smaller model, or with "
                "gradient_checkpointing if the recipe can."
            ) from error
        self.parts *= 2
        if self.fabric.device.type == "cuda":
            torch.cuda.empty_cache()
        said = f"Memory ran out; batches of {rows} rows are computed in {self.parts} parts from here on."
        log.warning("%s", said)
        self.run.log_params({"accumulate": self.parts, "out_of_memory": said})

    def _criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.objective.loss(logits, targets, self.weights)

    def _moved(self, inputs: dict[str, Tensor], targets: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        device = self.fabric.device
        if targets.device == device:
            return inputs, targets
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}
        return moved, targets.to(device, non_blocking=True)

    def validated(self) -> tuple[Tensor, Tensor]:
        """The logits (rows, outputs) and targets of the validation rows, on the device."""
        self.network.eval()
        found = []
        with torch.inference_mode(), self.fabric.autocast():
            for inputs, targets in self._validation_batches():
                found.append((self.network(**inputs).float(), targets))
        return torch.cat([logits for logits, _ in found]), torch.cat([targets for _, targets in found])

    def _validation_batches(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        for inputs, targets in self.validation.of_pass(0):
            yield self._moved(inputs, targets)

    def _validate(self) -> None:
        state = self.state
        logits, targets = self.validated()
        figures = {
            "epoch": float(state.epoch + 1),
            "val_loss": float(self.objective.loss(logits, targets, self.weights)),
            **self.objective.figures(logits, targets),
        }
        self.run.log(figures, step=state.step - 1)
        if not math.isfinite(figures["val_loss"]):
            self._fail()
        if figures["val_loss"] < state.figures.get("val_loss", math.inf):
            state.figures, state.epochs_without = figures, 0
            state.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        else:
            state.epochs_without += 1

    def _flush(self) -> None:
        assert self._loss is not None
        loss, self._loss = float(self._loss) / self._count, None
        self._count = 0
        rate = self.optimizer.param_groups[0]["lr"]
        self.run.log({"train_loss": loss, "learning_rate": rate}, step=self.state.step - 1)
        if not math.isfinite(loss):
            self._fail()
        if self._pace.is_due:
            self._show()

    def _show(self) -> None:
        figures = self._pace.figures(self.state.step)
        if figures:
            self.run.log(figures, step=max(self.state.step - 1, 0))

    def _fail(self) -> None:
        raise TrainingFailed(
            "The loss is not a number any more: the steps were too large. "
            f"Train again with a smaller learning_rate than {self.learning_rate:g}, or learning_rate=auto."
        )

    def _save_if_due(self, epoch_ended: bool) -> None:
        every_s = self.options.checkpoint_every_s
        now_s = time.perf_counter()
        is_due = now_s - self._saved_s >= every_s and (epoch_ended or every_s > 0)
        is_kept = epoch_ended and self.keep is not None and (self.state.epoch - 1) % self._keep_every == 0
        if not is_due and not is_kept:
            return
        self.state.capture(self.network, self.optimizer, self._scaler)
        if is_due:
            self._saved_s = now_s
            self.save(self.state)
        if epoch_ended and self.keep is not None:
            self.keep(self.state)


def adamw(network: Network, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW on a network's groups of parameters, each with its share of the learning rate."""
    groups = network.parameter_groups(weight_decay)
    for group in groups:
        group["lr"] = learning_rate * group.pop("learning_rate_factor", 1.0)
    device = next(network.parameters()).device
    return torch.optim.AdamW(groups, fused=device.type in ("cpu", "cuda"))


def on_cpu(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of weights in main memory."""
    return {name: torch.empty_like(tensor, device="cpu").copy_(tensor) for name, tensor in weights.items()}


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "memory" in str(error)
