"""Train a recipe on a snapshot, log it to a run, and evaluate it on rows that it has not seen."""

import logging
import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from modelship_lab.learning.callbacks import BestWeights, on_cpu
from modelship_lab.learning.checkpoint import NAME, Checkpoint
from modelship_lab.learning.evaluate import evaluate, summary
from modelship_lab.learning.hardware import Hardware, choose
from modelship_lab.learning.learner import Learner
from modelship_lab.learning.lightning_logger import LabCallback, LabLogger
from modelship_lab.learning.network import Network, predicted
from modelship_lab.learning.objectives import Objective, objective_of
from modelship_lab.learning.quiet import quiet
from modelship_lab.learning.recipes import Recipe, recipe_named
from modelship_lab.learning.recipes.options import TrainingOptions
from modelship_lab.learning.rows import Batches, Rows
from modelship_lab.learning.run_log import RunLog
from modelship_lab.learning.samples import Samples, encode_samples
from modelship_lab.learning.split import Split, check_trainable
from modelship_lab.records.bundle import Preprocessing
from modelship_lab.records.errors import Interrupted, LabError, TrainingFailed
from modelship_lab.records.evaluation import Evaluation

if TYPE_CHECKING:
    from modelship_lab.client import SnapshotData

__all__ = ["FitResult", "Progress", "fit"]

log = logging.getLogger(__name__)

PREDICTION_ROWS = 64
"""Rows that are predicted at once in the evaluation."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress:
    """How far a fit is."""

    stage: Literal["preparing", "training", "evaluating"]
    step: int = 0
    steps: int = 0
    """Of the whole training, if it does not stop early."""
    epoch: int = 0
    epochs: int = 0


@dataclass(frozen=True)
class FitResult:
    """What came out of a fit."""

    checkpoint: Checkpoint
    evaluation: Evaluation
    summary: dict[str, float]
    stopped: bool
    """Whether it ended early because somebody asked."""


def fit(
    run: RunLog,
    snapshot: "SnapshotData",
    recipe: str,
    options: Mapping[str, Any] | TrainingOptions | None = None,
    stop: threading.Event | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> FitResult:
    """Train and evaluate; returns when it is done.

    The run gets the metrics `train_loss`, `learning_rate` (every step, or up to 2,000 points), `val_loss`,
    `val_accuracy`, `val_f1` and `epoch` (every epoch), `samples_per_s`, `progress` and `remaining_s`
    (every second and epoch), and the artifacts `checkpoint.ckpt` and `evaluation.json`. Its status is left to the caller.

    Args:
        run: where metrics and artifacts go.
        snapshot: the labeled samples.
        recipe: a name of `recipes.RECIPES`.
        options: of the recipe; defaults for what is left out.
        stop: when set, training ends after the current step, with the best weights so far.
        on_progress: called at every step; must not take long.

    Raises:
        InvalidInput: no such recipe or option, or hardware that is not there.
        InvalidData: the snapshot has too few labels or unreadable samples; says what to do.
        TrainingFailed: the loss is no number any more, or memory ran out; says what to do.
        Interrupted: it was stopped before the first training step.
    """
    chosen = recipe_named(recipe, snapshot.info.task)
    checked = options if isinstance(options, TrainingOptions) else chosen.checked(options or {})
    fitting = _Fit(run, snapshot, chosen, checked, stop or threading.Event(), on_progress)
    return _off_main_thread(fitting.run, fitting.stop)


class _Fit:
    """One fit and what belongs to it."""

    def __init__(
        self,
        run: RunLog,
        snapshot: "SnapshotData",
        recipe: Recipe,
        options: TrainingOptions,
        stop: threading.Event,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.log = run
        self.snapshot = snapshot
        self.recipe = recipe
        self.options = options
        self.stop = stop
        self.on_progress = on_progress

    def run(self) -> FitResult:
        info = self.snapshot.info
        check_trainable(info)
        self.on_progress(Progress("preparing"))
        hardware = choose(self.options.accelerator, self.options.precision)
        samples = Samples.of_snapshot(self.snapshot)
        objective = objective_of(info)
        labels = objective.targets(samples.table)
        split = objective.split(
            labels, samples.ids, self.options.holdout, self.options.seed, samples.splits()
        )
        objective = objective.fitted(labels[split.train])
        preprocessing = self.recipe.preprocessing(self.options, samples, split.train)
        rows = encode_samples(preprocessing, samples, self._check)
        targets = torch.from_numpy(labels)
        if hardware.has_room_for(rows.nbytes):
            rows, targets = rows.to(hardware.device), targets.to(hardware.device)
        self._check()
        with _seeded(self.options.seed, hardware.device):
            network = self.recipe.network(self.options, preprocessing, objective.outputs)
            rows = network.prepared(rows, self._check)
            network.adapt(rows, torch.from_numpy(split.train).to(targets.device))
            trained = self._train(network, objective, preprocessing, rows, targets, split, hardware)
        checkpoint, epochs, seconds, stopped = trained
        self.on_progress(Progress("evaluating"))
        # Lightning leaves the network in main memory.
        evaluation = self._evaluate(checkpoint, network.to(hardware.device), samples, rows, labels, split)
        figures = summary(evaluation) | {
            "val_loss": checkpoint.figures.get("val_loss", math.nan),
            "val_accuracy": checkpoint.figures.get("val_accuracy", math.nan),
            "best_epoch": checkpoint.figures.get("epoch", math.nan),
            "epochs": float(epochs),
            "train_rows": float(len(split.train)),
            "train_seconds": seconds,
        }
        figures = {name: value for name, value in figures.items() if math.isfinite(value)}
        self.log.save_artifact(NAME, checkpoint.to_bytes())
        self.log.save_artifact("evaluation.json", evaluation.model_dump_json(), "application/json")
        return FitResult(checkpoint, evaluation, figures, stopped)

    def _train(
        self,
        network: Network,
        objective: Objective,
        preprocessing: Preprocessing,
        rows: Rows,
        labels: Tensor,
        split: Split,
        hardware: Hardware,
    ) -> tuple[Checkpoint, int, float, bool]:
        """The best weights, and after how many epochs and seconds training ended, and whether on request."""
        options = self.options
        batch_size = options.batch_size or automatic_batch_size(len(split.train))
        training = Batches(rows, labels, split.train, batch_size, seed=options.seed)
        validation = Batches(rows, labels, split.validation, max(batch_size, PREDICTION_ROWS))
        steps = len(training) * options.epochs
        self.log.log_params(
            {
                "batch_size": batch_size,
                "accelerator": hardware.accelerator,
                "precision": hardware.precision,
                "parameters": sum(weight.numel() for weight in network.parameters()),
            }
        )
        targets = labels[torch.from_numpy(split.train).to(labels.device)]
        weights = objective.balanced_weights(targets)
        learner = Learner(
            network,
            objective,
            weights if options.class_weights == "balanced" else torch.ones_like(weights),
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
            steps=steps,
        )

        def checkpoint(weights: Mapping[str, Tensor], figures: Mapping[str, float]) -> Checkpoint:
            return Checkpoint(self.recipe, options, preprocessing, objective, weights, dict(figures))

        def report(step: int, epoch: int) -> None:
            self.on_progress(Progress("training", step, steps, epoch, options.epochs))

        with _Saver(self.log) as saver, tempfile.TemporaryDirectory(prefix="mlship-fit-") as folder:
            best = BestWeights(network, lambda weights: saver.save(checkpoint(on_cpu(weights), best.figures)))
            following = LabCallback(
                self.log, loss="train_loss", stop_requested=self.stop.is_set, on_step=report
            )
            patience = options.patience or options.epochs
            callbacks = [
                best,
                EarlyStopping("val_loss", patience=patience, min_delta=0.0, check_finite=True),
                following,
            ]
            started_s = time.perf_counter()
            with quiet(), _explained():
                trainer = Trainer(
                    accelerator=hardware.accelerator,
                    devices=1,
                    precision=hardware.precision,  # type: ignore[arg-type]
                    max_epochs=options.epochs,
                    min_epochs=0,  # so that it may end in the middle of the first one
                    callbacks=callbacks,
                    logger=LabLogger(run=self.log),
                    # Of what steps log there is nothing: the callback does that.
                    log_every_n_steps=len(training),
                    enable_checkpointing=False,
                    enable_progress_bar=False,
                    enable_model_summary=False,
                    num_sanity_val_steps=0,
                    # A cluster that the lab happens to run on is none of this training's business.
                    plugins=[LightningEnvironment()],
                    default_root_dir=folder,
                )
                trainer.fit(learner, training, validation)
            seconds = time.perf_counter() - started_s
        if best.weights is None and not following.stopped:
            raise TrainingFailed(
                "The loss is not a number any more: the steps were too large. "
                f"Train again with a smaller learning_rate than {options.learning_rate:g}."
            )
        found = checkpoint(on_cpu(best.weights or network.state_dict()), best.figures)
        network.load_state_dict(dict(found.weights))
        return found, trainer.current_epoch, seconds, following.stopped

    def _evaluate(
        self,
        checkpoint: Checkpoint,
        network: Network,
        samples: Samples,
        rows: Rows,
        labels: np.ndarray,
        split: Split,
    ) -> Evaluation:
        return evaluate(
            checkpoint.objective,
            predicted(network, checkpoint.objective, _inputs(rows, split.test)),
            labels[split.test],
            task=self.snapshot.info.task,
            training_targets=labels[split.train],
            sample_ids=samples.ids[split.test],
            preview=lambda row: samples.preview(int(split.test[row])),
        )

    def _check(self) -> None:
        if self.stop.is_set():
            raise Interrupted("The run was stopped before training began.")


def automatic_batch_size(rows: int) -> int:
    """A power of two from 32 to 256, about a fiftieth of the rows: enough steps in small data, fewer in large."""
    return int(min(256, max(32, 2 ** round(math.log2(max(1, rows / 50))))))


def _inputs(rows: Rows, chosen: np.ndarray) -> Iterator[dict[str, Tensor]]:
    for places in torch.split(torch.from_numpy(chosen), PREDICTION_ROWS):
        yield rows.take(places)


class _Saver:
    """Save checkpoints in a thread, so that training never waits for the network; only the newest matters."""

    def __init__(self, run: RunLog) -> None:
        self._run = run
        self._pool = ThreadPoolExecutor(1, "mlship-checkpoint")
        self._saving: Future[None] | None = None

    def __enter__(self) -> "_Saver":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def save(self, checkpoint: Checkpoint) -> None:
        if self._saving is None or self._saving.done():
            self._saving = self._pool.submit(self._send, checkpoint)

    def _send(self, checkpoint: Checkpoint) -> None:
        try:
            self._run.save_artifact(NAME, checkpoint.to_bytes())
        except LabError as error:
            # The last checkpoint is saved by the fit itself, which then raises.
            log.warning("A checkpoint could not be saved: %s", error.message)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's random numbers follow from a seed inside, and go on as before outside."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def _explained() -> Iterator[None]:
    """Memory that ran out becomes an error that says what to do."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise TrainingFailed(
            "Memory ran out in training. Train again with a smaller batch_size or a smaller model."
        ) from error


def _off_main_thread(work: Callable[[], Result], stop: threading.Event) -> Result:
    """Do the work in another thread if this is the main one, where an interrupt then asks it to stop.

    In the main thread Lightning takes over the signals and ends the process when it is interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    with ThreadPoolExecutor(1, "mlship-fit") as pool:
        future = pool.submit(work)
        while not future.done():
            try:
                # Short waits, because an interrupt only arrives between them.
                wait([future], timeout=0.1)
            except KeyboardInterrupt:
                stop.set()
        return future.result()
