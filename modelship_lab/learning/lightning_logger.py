"""A run for one's own LightningModule.

run = LabLogger(lab, "first try", project="spam")
trainer = Trainer(logger=run, callbacks=[LabCallback()])
trainer.fit(module, data)
"""

import math
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers.logger import Logger
from torch import Tensor

from modelship_lab.client.active_run import active_run
from modelship_lab.learning.pace import LEAST_STEPS_ON_DEVICE, POINTS, Pace
from modelship_lab.learning.run_log import RunLog, as_params

if TYPE_CHECKING:
    from modelship_lab.client import Lab

__all__ = ["LabCallback", "LabLogger"]


class LabLogger(Logger):
    """What the module logs becomes metrics of a run, its hyperparameters the run's parameters.

    The run is the one that is given, else the active one (of `with lab.start_run()` or `%%mlship run`),
    else one that is started when training begins and ended with it: `failed` after an exception, with
    its traceback, and `stopped` after an interrupt or on request. Testing or training again goes on with
    the same run. Lightning hands over numbers that it has read from the device, once in `log_every_n_steps`;
    nothing here waits for the device or the server.

    Args:
        lab: where the run is started; default: this user's own.
        name: of the run.
        run: where to instead; whoever has started it ends it.
        project: of the run.
        tags: of the run.
        checkpoints: whether the best and the last checkpoint are saved with the run at the end.
        save_dir: folder of checkpoints; default: the trainer's.
    """

    def __init__(
        self,
        lab: "Lab | None" = None,
        name: str = "",
        *,
        run: RunLog | None = None,
        project: str | int | None = None,
        tags: Iterable[str] = (),
        checkpoints: bool = False,
        save_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        self._lab = lab
        self._name = name
        self._project = project
        self._tags = tuple(tags)
        self._run: Any = run
        self._own = False
        self._ended = False
        self._checkpoints = checkpoints
        self._checkpointing: ModelCheckpoint | None = None
        self._save_dir = save_dir

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run, a `RunHandle`. On other ranks than 0: something that takes everything and does nothing."""
        if self._run is None:
            self._run = active_run()
        if self._run is None:
            self._run, self._own = self._start(), True
        elif self._ended:
            self._run, self._ended = self._run.lab.resume_run(self._run), False
        return self._run

    def _start(self) -> Any:
        if self._lab is None:
            from modelship_lab import client

            self._lab = client.connect()
        return self._lab.start_run(self._name, project=self._project, tags=self._tags)

    @property
    def name(self) -> str:
        """The run's name."""
        return self._name or "modelship_lab"

    @property
    def version(self) -> str | None:
        """The run's number, as the name of a folder; None before there is one."""
        run_id = getattr(self._run, "id", None)
        return None if run_id is None else f"run_{run_id}"

    @property
    def save_dir(self) -> str | None:
        """Where checkpoints are, if not where the trainer puts them."""
        return None if self._save_dir is None else str(self._save_dir)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if "epoch" in metrics:
            # Lightning adds it, counted from 0; the lab counts from 1.
            metrics = {**metrics, "epoch": metrics["epoch"] + 1}
        self.experiment.log(metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        self.experiment.log_params(as_params(params))

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        self._checkpointing = checkpoint_callback

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._run is None or self._ended:
            return
        if self._checkpoints and self._checkpointing is not None:
            self._save_checkpoints(self._checkpointing)
        if not self._own:
            return
        self._ended = True
        # Lightning says that something failed, while it handles what that was.
        error = sys.exc_info()[1] if status == "failed" else None
        if isinstance(error, KeyboardInterrupt):
            self._run.stop_event.set()
        if status == "failed" and not isinstance(error, KeyboardInterrupt):
            self._run.fail(error or "Training failed.")
        else:
            self._run.finish()

    def _save_checkpoints(self, checkpointing: ModelCheckpoint) -> None:
        best, last = checkpointing.best_model_path, getattr(checkpointing, "last_model_path", "")
        for name, path in (("best.ckpt", best), ("last.ckpt", last)):
            if path and Path(path).is_file():
                self._run.save_artifact(name, Path(path))


class LabCallback(Callback):
    """Log how far training is and how fast, and end it cleanly when somebody asks the run to stop.

    The run gets `progress` in percent, `remaining_s`, `samples_per_s` and `learning_rate`. When it is
    asked to stop, training ends after the step, and a checkpoint `stopped.ckpt` is saved beside the
    others.

    Args:
        run: where to; default: the run of the trainer's `LabLogger`, else the active one.
        loss: the name under which the mean of the training loss since the last point is logged;
            default: not at all, as most modules log it themselves.
        stop_requested: whether training is to end; default: the run knows.
        on_step: called with the number of steps done and the epoch from 1.
    """

    def __init__(
        self,
        run: RunLog | None = None,
        *,
        loss: str = "",
        stop_requested: Callable[[], bool] | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        self.stopped = False
        """Whether training ended because somebody asked."""
        self._run: Any = run
        self._loss_name = loss
        self._stop_requested = stop_requested
        self._on_step = on_step
        self._steps: float = math.inf
        self._every = 1
        self._loss: Tensor | None = None
        self._count = 0
        self._pace = Pace(math.inf)
        self._step = 0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        if not trainer.is_global_zero:
            self._run = None
        elif self._run is None:
            loggers = (logger for logger in trainer.loggers if isinstance(logger, LabLogger))
            logger = next(loggers, None)
            self._run = logger.experiment if logger is not None else active_run()
        self.stopped = False
        steps = trainer.estimated_stepping_batches
        self._steps = steps if steps > 0 else math.inf
        if self._loss_name:
            self._every = max(1, int(self._steps // POINTS)) if math.isfinite(self._steps) else 1
        else:
            # What the module logs comes as often.
            self._every = max(1, trainer.log_every_n_steps)  # type: ignore[attr-defined]
        if module.device.type != "cpu":
            self._every = max(self._every, LEAST_STEPS_ON_DEVICE)
        self._pace = Pace(self._steps, trainer.global_step)
        self._step = _step(trainer)
        self._loss, self._count = None, 0

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._step = _step(trainer)
        self._count += 1
        self._pace.rows += _rows(batch)
        if self._loss_name and outputs is not None:
            loss = outputs["loss"].detach()
            self._loss = loss if self._loss is None else self._loss + loss
        if self._count >= self._every:
            self._flush(trainer)
        if self._on_step is not None:
            self._on_step(trainer.global_step, trainer.current_epoch + 1)
        if self._is_asked_to_stop(trainer, batch_idx):
            self.stopped = True
            trainer.should_stop = True
            # Whoever asks does not mean the end of the first epoch.
            trainer.fit_loop.min_epochs = trainer.fit_loop.epoch_loop.min_steps = 0

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._show(trainer)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self._count:
            self._flush(trainer)
        self._show(trainer)
        checkpointing = trainer.checkpoint_callback
        if self.stopped and isinstance(checkpointing, ModelCheckpoint) and checkpointing.dirpath:
            trainer.save_checkpoint(Path(checkpointing.dirpath) / "stopped.ckpt")

    def _is_asked_to_stop(self, trainer: Trainer, batch_idx: int) -> bool:
        if self._stop_requested is not None:
            asked = self._stop_requested()
        else:
            asked = getattr(self._run, "stop_requested", False)
        if trainer.world_size == 1:
            return asked
        # All processes must stop at the same step, and to agree they wait for each other.
        if batch_idx % LEAST_STEPS_ON_DEVICE:
            return False
        return bool(trainer.strategy.reduce_boolean_decision(asked, all=False))

    def _flush(self, trainer: Trainer) -> None:
        figures = {"learning_rate": trainer.optimizers[0].param_groups[0]["lr"]} if trainer.optimizers else {}
        if self._loss is not None:
            figures = {self._loss_name: float(self._loss) / self._count} | figures
        self._loss, self._count = None, 0
        if self._run is not None and figures:
            self._run.log(figures, step=self._step)
        if self._pace.is_due:
            self._show(trainer)

    def _show(self, trainer: Trainer) -> None:
        figures = self._pace.figures(trainer.global_step)
        if self._run is not None and figures:
            self._run.log(figures, step=self._step)


def _step(trainer: Trainer) -> int:
    """The number of the present step from 0, under which Lightning hands over what the module logs in it."""
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def _rows(batch: Any) -> int:
    """The rows of a batch: the length of the first tensor in it, or 0."""
    while not isinstance(batch, Tensor):
        if isinstance(batch, Mapping):
            batch = tuple(batch.values())
        if not isinstance(batch, (list, tuple)) or not batch:
            return 0
        batch = batch[0]
    return len(batch) if batch.ndim else 1
