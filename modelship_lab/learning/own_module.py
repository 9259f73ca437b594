"""Train one's own LightningModule on a project's snapshot: a run like that of any recipe.

    run = lab.project("spam").train(module=MyModule(), datamodule=MyData(), epochs=5)

The run gets the metrics that the module logs, `train_loss`, `progress` and the like, and these artifacts:

    checkpoint.ckpt        the best weights, for `MyModule.load_from_checkpoint`
    training_state.ckpt    what going on needs: `train(module=..., resume=run)` trains from the last whole epoch on
    evaluation.json        if `forward` gives logits of the project's classes for batches of (inputs, labels)
    model.onnx             with `signature.json`: its inputs and outputs by name, type and shape
"""

import inspect
import json
import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.model_helpers import is_overridden
from pydantic import Field, ValidationError
from torch import Tensor, nn

from modelship_lab.learning import train
from modelship_lab.learning.checkpoint import NAME
from modelship_lab.learning.evaluate import evaluate, summary
from modelship_lab.learning.export_module import export_module
from modelship_lab.learning.hardware import choose
from modelship_lab.learning.lightning_logger import LabCallback, LabLogger
from modelship_lab.learning.objectives import Number, Objective, objective_of
from modelship_lab.learning.quiet import quiet
from modelship_lab.learning.run_log import RunLog, as_params
from modelship_lab.learning.train import STATE
from modelship_lab.records.base import Record
from modelship_lab.records.errors import (
    Conflict,
    ExportFailed,
    InvalidInput,
    LabError,
    NotFound,
    TrainingFailed,
)
from modelship_lab.records.recipe_options import Accelerator, Precision

if TYPE_CHECKING:
    from modelship_lab.client import Lab, ProjectHandle, RunHandle, SnapshotData

__all__ = ["OwnModuleOptions", "fit_module", "made_of", "start"]

RECIPE = "own-module"

MODEL, SIGNATURE = "model.onnx", "signature.json"
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
            recipe=RECIPE,
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


def made_of(
    module: Any, datamodule: Any, snapshot: "SnapshotData"
) -> tuple[LightningModule, LightningDataModule | None]:
    """The module and its data, of what the user has given.

    Raises:
        InvalidInput: it is neither a module nor a function that makes one, or there is nothing to train on.
    """
    made = _called(module, snapshot)
    if isinstance(made, tuple) and len(made) == 2 and datamodule is None:
        made, datamodule = made
    loaders = _called(datamodule, snapshot)
    if not isinstance(made, LightningModule):
        hint = (
            " It is one of the package pytorch_lightning; take `from lightning.pytorch import LightningModule`."
            if any(base.__module__.startswith("pytorch_lightning") for base in type(made).__mro__)
            else ""
        )
        raise InvalidInput(
            f"A LightningModule is needed, or a function that returns one, not {type(made).__name__}.{hint}"
        )
    if loaders is not None and not isinstance(loaders, LightningDataModule):
        raise InvalidInput(f"The data are a LightningDataModule, not {type(loaders).__name__}.")
    if loaders is None and not is_overridden("train_dataloader", made):
        raise InvalidInput(
            f"{type(made).__name__} has nothing to train on: give a datamodule, or let it have `train_dataloader`."
        )
    return made, loaders


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
            if is_overridden("test_step", module) and _has_loader(module, datamodule, "test"):
                tested = trainer.test(module, datamodule=datamodule, verbose=False)
                figures |= {name: value for one in tested for name, value in one.items()}
    loader = _loader(module, datamodule)
    module = module.to(hardware.device).eval()
    figures |= _evaluated(run, snapshot, module, loader)
    _exported(run, module, loader)
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


# --- what the user gives ---------------------------------------------------------------------------------


def _called(given: Any, snapshot: "SnapshotData") -> Any:
    """What a function returns; other things as they are."""
    if not callable(given) or isinstance(given, nn.Module | LightningDataModule):
        return given
    needed = [
        parameter
        for parameter in inspect.signature(given).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(needed) > 1 or (needed and inspect.isclass(given)):
        names = ", ".join(parameter.name for parameter in needed)
        raise InvalidInput(
            f"{given.__name__} needs {names}: give an object that is made already, or a function that takes the "
            "snapshot alone."
        )
    return given(snapshot) if needed else given()


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


def _has_loader(module: LightningModule, datamodule: LightningDataModule | None, stage: str) -> bool:
    name = f"{stage}_dataloader"
    return is_overridden(name, datamodule, LightningDataModule) if datamodule else is_overridden(name, module)


def _loader(module: LightningModule, datamodule: LightningDataModule | None) -> Any:
    """Batches of rows that were not trained on: those of the test, else of the validation."""
    for stage, word in (("test", "test"), ("val", "validate")):
        if _has_loader(module, datamodule, stage):
            if datamodule is not None:
                datamodule.setup(word)
            return getattr(datamodule or module, f"{stage}_dataloader")()
    return ()


# --- what comes after training ------------------------------------------------------------------------------


def _pairs(module: LightningModule, loader: Any) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
    """The inputs and the labels of batches that have both."""
    for batch in loader:
        if not isinstance(batch, list | tuple) or len(batch) < 2:
            return
        *inputs, labels = batch
        given = (
            tuple(inputs[0]) if len(inputs) == 1 and isinstance(inputs[0], list | tuple) else tuple(inputs)
        )
        if not all(isinstance(one, Tensor) for one in (*given, labels)):
            return
        yield tuple(one.to(module.device) for one in given), labels


def _evaluated(
    run: RunLog, snapshot: "SnapshotData", module: LightningModule, loader: Any
) -> dict[str, float]:
    """The figures of rows that were not trained on; none if the module's outputs are no logits of the classes."""
    objective = objective_of(snapshot.info)
    parts: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    with torch.inference_mode():
        for inputs, wanted in _pairs(module, loader):
            logits = module(*inputs)
            if not _fits(logits, wanted, objective):
                run.log_params(
                    {"evaluation": f"none: forward does not give logits of {objective.outputs} classes"}
                )
                return {}
            parts.append(objective.activation(logits.float()).cpu().numpy())
            labels.append(wanted.cpu().numpy())
    if not parts:
        run.log_params({"evaluation": "none: there are no batches of inputs and labels to test on"})
        return {}
    targets = np.concatenate(labels)
    known = objective.targets(snapshot.table())
    found = evaluate(
        objective,
        np.concatenate(parts),
        targets,
        task=snapshot.info.task,
        training_targets=known,
        sample_ids=np.zeros(len(targets), np.int64),
    )
    # Which samples the rows are is the module's secret.
    found = found.model_copy(update={"worst": ()})
    run.save_artifact("evaluation.json", found.model_dump_json(), "application/json")
    return summary(found)


def _fits(logits: Any, labels: Tensor, objective: Objective) -> bool:
    if not isinstance(logits, Tensor) or isinstance(objective, Number):
        return False
    if logits.shape != (len(labels), objective.outputs):
        return False
    if objective.kind == "labels":
        return labels.shape == logits.shape
    return labels.ndim == 1 and not labels.is_floating_point() and int(labels.max()) < objective.outputs


def _exported(run: RunLog, module: LightningModule, loader: Any) -> None:
    """Save the module as ONNX with its signature; what cannot be exported is said, and the run goes on."""
    example = module.example_input_array
    if example is None:
        example = next(_pairs(module, loader), ((), None))[0]
    given = (
        (example,)
        if isinstance(example, Tensor)
        else tuple(example)
        if isinstance(example, list | tuple)
        else ()
    )
    try:
        if not given or not all(isinstance(one, Tensor) for one in given):
            raise ExportFailed("there is no example: set `self.example_input_array` in the module")
        names = list(inspect.signature(module.forward).parameters)[: len(given)]
        found = export_module(module.cpu(), dict(zip(names, (one.cpu() for one in given), strict=True)))
    except LabError as error:
        run.log_params({"onnx": f"none: {error.message}"[:500]})
        return
    run.save_artifact(MODEL, found.model, "application/octet-stream")
    run.save_artifact(SIGNATURE, json.dumps(found.signature, indent=2), "application/json")
    inputs = ", ".join(f"{one['name']} {one['type']} {one['shape']}" for one in found.signature["inputs"])
    run.log_params({"onnx": inputs})
