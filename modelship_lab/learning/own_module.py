"""Train one's own LightningModule on a project's snapshot: a run like that of any recipe.

    run = lab.project("spam").train(module=MyModule(), datamodule=MyData(), epochs=5)

The run gets the metrics that the module logs, `train_loss`, `progress` and the like, and these artifacts:

    checkpoint.ckpt        the best weights, for `MyModule.load_from_checkpoint`
    training_state.ckpt    what going on needs: `train(module=..., resume=run)` trains from the last whole epoch on
    evaluation.json        if `forward` gives logits of the project's classes, or numbers, for batches of (inputs, labels)
    predictions.arrow      with it: what it says of each row, by which two runs are compared. The rows are known by what
                           they hold; by a list of the samples' ids, `sample_ids` of the test's data set, the run is
                           compared with those of recipes, too
    model.onnx             with `signature.json`: its inputs and outputs by name, type and shape

and a bundle, which is registered and deployed like that of a recipe, where the lab knows how samples become what
`forward` takes: see `learning.own_outcome`.
"""

import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.model_helpers import is_overridden
from pydantic import Field, ValidationError
from torch import Tensor

from modelship_lab.learning import train
from modelship_lab.learning.checkpoint import NAME
from modelship_lab.learning.hardware import choose
from modelship_lab.learning.lightning_logger import LabCallback, LabLogger
from modelship_lab.learning.own_outcome import evaluated, exported
from modelship_lab.learning.own_parts import has_loader, held_out_batches, made_of
from modelship_lab.learning.progress import STATE
from modelship_lab.learning.quiet import quiet
from modelship_lab.learning.run_log import RunLog, as_params
from modelship_lab.records.base import Record
from modelship_lab.records.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    TrainingFailed,
)
from modelship_lab.records.recipe_options import Accelerator, Precision
from modelship_lab.records.recipes import OWN_MODULE

if TYPE_CHECKING:
    from modelship_lab.client import Lab, ProjectHandle, RunHandle, SnapshotData

__all__ = ["OwnModuleOptions", "fit_module", "made_of", "start"]

SAVE_INTERVAL_S = 30.0
STEPS_BETWEEN_LOOKS = 10
"""Reading a loss makes the processor wait for the GPU, so that is done this seldom there."""


class OwnModuleOptions(Record):
    """What training one's own module can be told; the rest is the module's own business."""

    epochs: int = Field(default=20, ge=1, le=10_000, description="Most passes over the training data.")
    monitor: str = Field(
        default="val_loss", min_length=1, description="The metric by which weights are the best."
    )
    mode: Literal["min", "max"] = Field(default="min", description="Whether less or more of it is better.")
    patience: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Epochs without a better one before it stops; 0: never stop early.",
    )
    time_budget_s: float | None = Field(
        default=None, gt=0, description="Seconds of training after which it ends; default: any number."
    )
    accumulate: int = Field(default=1, ge=1, le=10_000, description="Batches whose gradients make one step.")
    gradient_clip: float | None = Field(
        default=None, gt=0, description="Longest gradient; default: any length."
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of torch's random numbers in training.")
    accelerator: Accelerator = Field(
        default="auto", description="Where to compute; auto: a GPU if there is one."
    )
    precision: Precision = Field(default="auto", description="Of the arithmetic.")


def start(
    lab: "Lab",
    project: "ProjectHandle | str | int",
    module: Any,
    datamodule: Any = None,
    options: Mapping[str, Any] | None = None,
    *,
    snapshot: "SnapshotData | int | None" = None,
    resume: "RunHandle | int | None" = None,
    name: str = "",
    tags: Iterable[str] = (),
) -> "RunHandle":
    """Start training a module in a thread of this process and return the run at once.

    Args:
        lab: where the project is.
        project: its name or id, or a handle.
        module: a LightningModule, or a function that returns one or a module and its data; if the function has a
            parameter, it is given the snapshot.
        datamodule: a LightningDataModule, or a function as above; default: the module has its own data loaders.
        options: of `OwnModuleOptions`.
        snapshot: what is trained on, or its id; default: a new one of the labels as they are now.
        resume: a run of the same module that is to be gone on with; training continues after its last whole epoch.
        name: of the run; default: the module's class.
        tags: of the run.

    Raises:
        InvalidInput: not a module, no data, or an unknown option.
        InvalidData: too few labels; says what to label.
        Conflict: the run has no state to go on from.
    """
    handle = lab.project(project) if isinstance(project, str | int) else project
    try:
        checked = OwnModuleOptions.model_validate(dict(options or {}))
    except ValidationError as error:
        raise _refusal(error) from None
    if snapshot is None and resume is not None:
        snapshot = lab.run(resume if isinstance(resume, int) else resume.id).record.snapshot_id
    data = train.snapshot_of(lab, handle, snapshot)
    made, loaders = made_of(module, datamodule, data)
    state = None
    if resume is None:
        run = lab.start_run(
            name or type(made).__name__,
            project=handle.id,
            recipe=OWN_MODULE,
            params=checked.model_dump() | as_params(dict(made.hparams), "module."),
            tags=tags,
            snapshot_id=data.info.id,
        )
    else:
        state = _state_of(lab, resume)
        run = lab.resume_run(resume if isinstance(resume, int) else resume.id)

    def work() -> dict[str, float]:
        return fit_module(run, data, made, loaders, checked, run.stop_event, state=state)

    train.begin(run, work)
    return run


def _refusal(error: ValidationError) -> InvalidInput:
    known = ", ".join(OwnModuleOptions.model_fields)
    details = [
        {"field": ".".join(map(str, one["loc"])), "reason": f"{one['msg'].lower()} ({one['input']!r:.50})"}
        for one in error.errors()
    ]
    listed = "; ".join(f"{one['field']}: {one['reason']}" for one in details)
    return InvalidInput(f"The options do not fit: {listed}. There are {known}.", details)


def _state_of(lab: "Lab", resume: "RunHandle | int") -> bytes:
    run = lab.run(resume if isinstance(resume, int) else resume.id)
    try:
        return run.artifact(STATE)
    except NotFound:
        raise Conflict(
            f"Run {run.id} has no state to go on from: it has none before the end of its first epoch."
        ) from None


def fit_module(
    run: RunLog,
    snapshot: "SnapshotData",
    module: LightningModule,
    datamodule: LightningDataModule | None,
    options: OwnModuleOptions,
    stop: threading.Event,
    state: bytes | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Train, evaluate and export a module; returns the run's summary.

    Args:
        run: where metrics and artifacts go.
        snapshot: what it is trained on, for the evaluation.
        module: with its best weights in the end.
        datamodule: its data, unless the module has them.
        options: of the training.
        stop: when set, training ends after the current step.
        state: of an earlier training that is gone on with.
        on_step: called with the steps done and the epoch from 1.

    Raises:
        TrainingFailed: the loss is not a number any more, or the state is of another module.
    """
    hardware = choose(options.accelerator, options.precision)
    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mlship-own-") as name, torch.random.fork_rng():
        folder = Path(name)
        torch.manual_seed(options.seed)
        keeper = _Keeper(run, folder / STATE, options)
        following = LabCallback(run, loss="train_loss", stop_requested=stop.is_set, on_step=on_step)
        callbacks: list[Callback] = [keeper, following]
        if options.patience:
            callbacks.append(EarlyStopping(options.monitor, patience=options.patience, mode=options.mode))
        with quiet():
            trainer = Trainer(
                accelerator=hardware.accelerator,
                devices=1,
                precision=hardware.precision,  # type: ignore[arg-type]
                max_epochs=options.epochs,
                min_epochs=0,  # so that it may end in the middle of the first one
                max_time=None if options.time_budget_s is None else timedelta(seconds=options.time_budget_s),
                accumulate_grad_batches=options.accumulate,
                gradient_clip_val=options.gradient_clip,
                callbacks=callbacks,
                logger=LabLogger(run=run),
                log_every_n_steps=10,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                plugins=[LightningEnvironment()],
                default_root_dir=folder,
            )
            before = None
            if state is not None:
                before = folder / "before.ckpt"
                before.write_bytes(state)
            try:
                # Nothing in a state is executed: it may come from whoever may write to the run.
                trainer.fit(module, datamodule=datamodule, ckpt_path=before, weights_only=True)
            except RuntimeError as error:
                if before is not None and "state_dict" in str(error):
                    raise TrainingFailed(f"The run was of another module: {error!s:.500}") from error
                raise
            finally:
                keeper.save_state()
            if keeper.best is not None:
                module.load_state_dict(keeper.best)
            file = folder / NAME
            trainer.save_checkpoint(file, weights_only=True)
            run.save_artifact(NAME, file)
            figures = {
                "best_epoch": float(keeper.best_epoch or trainer.current_epoch),
                "epochs": float(trainer.current_epoch),
                "train_seconds": time.perf_counter() - started_s,
            }
            if math.isfinite(keeper.best_value):
                figures[options.monitor] = keeper.best_value
            if is_overridden("test_step", module) and has_loader(module, datamodule, "test"):
                tested = trainer.test(module, datamodule=datamodule, verbose=False)
                figures |= {name: value for one in tested for name, value in one.items()}
    loader = held_out_batches(module, datamodule)
    module = module.to(hardware.device).eval()
    figures |= evaluated(run, snapshot, module, loader)
    exported(run, snapshot, module, loader, figures)
    return {name: float(value) for name, value in figures.items() if math.isfinite(value)}


class _Keeper(Callback):
    """Keeps the best weights and what going on needs, and ends a training whose loss is no number."""

    def __init__(self, run: RunLog, state: Path, options: OwnModuleOptions) -> None:
        self.best: dict[str, Tensor] | None = None
        self.best_value = math.nan
        self.best_epoch = 0
        self._run = run
        self._file = state
        self._monitor, self._sign = options.monitor, 1 if options.mode == "min" else -1
        self._saved_at_s = time.monotonic()
        self._is_saved = True

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, Mapping) and "loss" in outputs else outputs
        is_cheap = module.device.type == "cpu" or batch_idx % STEPS_BETWEEN_LOOKS == 0
        if isinstance(loss, Tensor) and is_cheap and not bool(torch.isfinite(loss).all()):
            raise TrainingFailed(
                f"The loss is not a number any more after step {trainer.global_step}: take smaller steps, clip the "
                "gradient (gradient_clip=1), or look for a logarithm or division of 0 in the module."
            )

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.sanity_checking or self._monitor not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[self._monitor])
        if self.best is None or self._sign * value < self._sign * self.best_value:
            self.best_value, self.best_epoch = value, trainer.current_epoch + 1
            self.best = {name: one.detach().clone() for name, one in module.state_dict().items()}

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if not trainer.should_stop or trainer.is_last_batch:
            trainer.save_checkpoint(self._file)
            self._is_saved = False
        if time.monotonic() - self._saved_at_s > SAVE_INTERVAL_S:
            self.save_state()

    def state_dict(self) -> dict[str, Any]:
        """The best so far belongs to what is gone on with."""
        return {"best": self.best, "best_value": self.best_value, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
        self.best_value, self.best_epoch = state_dict["best_value"], state_dict["best_epoch"]

    def save_state(self) -> None:
        """Save the state of the last whole epoch with the run."""
        if not self._is_saved and self._file.is_file():
            self._run.save_artifact(STATE, self._file)
            self._saved_at_s, self._is_saved = time.monotonic(), True
