"""Train a recipe on a snapshot, log it to a run, and evaluate it on rows that it has not seen."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from threadpoolctl import threadpool_limits
from torch import Tensor

from modelship_lab.learning import recipes
from modelship_lab.learning.baselines import baselines
from modelship_lab.learning.checkpoint import NAME, Checkpoint
from modelship_lab.learning.evaluate import evaluate, summary
from modelship_lab.learning.fit_result import FitResult
from modelship_lab.learning.hardware import Hardware, choose
from modelship_lab.learning.loop import Loop, on_cpu
from modelship_lab.learning.network import Network, predicted
from modelship_lab.learning.objectives import Objective, objective_of
from modelship_lab.learning.predictions import PREDICTIONS, predictions_file
from modelship_lab.learning.progress import Progress
from modelship_lab.learning.quiet import quiet
from modelship_lab.learning.rate_finder import find_rate
from modelship_lab.learning.rows import Batches, Rows
from modelship_lab.learning.run_log import RunLog
from modelship_lab.learning.samples import Samples, encode_samples
from modelship_lab.learning.saver import Saver
from modelship_lab.learning.slices import slices_of
from modelship_lab.learning.split import Split, check_trainable
from modelship_lab.learning.training_state import TrainingState
from modelship_lab.records.bundle import Preprocessing
from modelship_lab.records.errors import Interrupted, InvalidInput, TrainingFailed
from modelship_lab.records.evaluation import Evaluation
from modelship_lab.records.recipe_options import RecipeOptions, TrainingOptions
from modelship_lab.records.recipes import Recipe, recipe_named

if TYPE_CHECKING:
    from modelship_lab.client import SnapshotData

__all__ = ["automatic_batch_size", "fit"]

PREDICTION_ROWS = 64
"""Rows that are validated and evaluated at once, if the batches of the training are no larger."""

USUAL_EPOCHS, LEAST_STEPS, LEAST_PATIENCE = 15, 500, 3
"""Of a training that nobody has told how long to go on."""

Result = TypeVar("Result")


def fit(
    run: RunLog,
    snapshot: "SnapshotData",
    recipe: str,
    options: Mapping[str, Any] | RecipeOptions | None = None,
    stop: threading.Event | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    *,
    resume: TrainingState | None = None,
    output: Path | None = None,
    given: list[str | None] | None = None,
) -> FitResult:
    """Train and evaluate; returns when it is done.

    The run gets the metrics `train_loss`, `learning_rate` (every step, or up to 2,000 points), `val_loss`,
    `val_accuracy`, `val_f1` and `epoch` (every epoch), `samples_per_s`, `progress` and `remaining_s`
    (every second and epoch), and the artifacts `checkpoint.ckpt`, `evaluation.json` and, while it goes on and when it
    was stopped, `training_state.ckpt`. Its status is left to the caller.

    Args:
        run: where metrics and artifacts go.
        snapshot: the labeled samples.
        recipe: a name of `records.recipes.RECIPES`.
        options: of the recipe; defaults for what is left out.
        stop: when set, training ends after the current step, with the best weights so far.
        on_progress: called at every step; must not take long.
        resume: where an earlier training of the same recipe, options and snapshot was: it goes on from there, and
            ends as if it had never been interrupted.
        output: a folder for `checkpoint-{epoch}` folders with both files, one for each epoch, of which the newest are
            kept. An estimator of scikit-learn leaves one, with its best stage.
        given: the split of each row, `train`, `validation`, `test` or None; default: what the snapshot says.

    Raises:
        InvalidInput: no such recipe or option, or hardware that is not there.
        InvalidData: the snapshot has too few labels or unreadable samples; says what to do.
        TrainingFailed: the loss is no number any more, or memory ran out; says what to do.
        Interrupted: it was stopped before the first training step.
    """
    chosen = recipe_named(recipe, snapshot.info.task)
    checked = options if isinstance(options, RecipeOptions) else chosen.checked(options or {})
    asked = stop or threading.Event()
    if chosen.kind == "estimator":
        if resume is not None:
            raise InvalidInput(
                f"The recipe {chosen.name} cannot go on where it was. Train again: it is fast."
            )
        # Loads ONNX Runtime, which training a network does not need.
        from modelship_lab.learning.fit_estimator import fit_estimator

        return _off_main_thread(
            lambda: fit_estimator(run, snapshot, chosen, checked, asked, on_progress, output, given), asked
        )
    assert isinstance(checked, TrainingOptions)
    fitting = _Fit(run, snapshot, chosen, checked, asked, on_progress, resume, output, given)
    return _off_main_thread(fitting.run, fitting.stop)


@dataclass(frozen=True)
class _Data:
    """Encoded rows with what they are."""

    samples: Samples
    encoded: Rows
    """As the preprocessing makes them; `rows` are what the network takes in training."""
    rows: Rows
    targets: Tensor
    labels: np.ndarray
    split: Split


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
        resume: TrainingState | None,
        output: Path | None,
        given: list[str | None] | None,
    ) -> None:
        self.resume = resume
        self.output = output
        self.given = given
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
        given = self.given or samples.splits()
        split = objective.split(labels, samples.ids, self.options.held_out, self.options.seed, given)
        objective = objective.fitted(labels[split.train])
        preprocessing = recipes.preprocessing(self.recipe, self.options, samples, split.train)
        rows = encode_samples(preprocessing, samples, self._check)
        targets = torch.from_numpy(labels)
        if hardware.has_room_for(rows.nbytes):
            rows, targets = rows.to(hardware.device), targets.to(hardware.device)
        self._check()
        with _seeded(self.options.seed, hardware.device), _explained():
            network = recipes.network(self.recipe, self.options, preprocessing, objective.outputs)
            network.to(hardware.device)
            encoded, rows = rows, network.prepared(rows, self._check)
            network.adapt(rows, torch.from_numpy(split.train).to(targets.device))
            data = _Data(samples, encoded, rows, targets, labels, split)
            # Of this thread alone: what else the process computes keeps its own.
            with threadpool_limits(1 if network.is_light else None, user_api="openmp"):
                trained = self._train(network, objective, preprocessing, data, hardware)
        checkpoint, loop = trained
        self.on_progress(Progress("evaluating"))
        evaluation = self._evaluate(checkpoint, network, data)
        state = loop.state
        figures = summary(evaluation) | {
            **{name: state.figures.get(name, math.nan) for name in ("val_loss", "val_accuracy", "val_rmse")},
            "best_epoch": state.figures.get("epoch", math.nan),
            "epochs": float(state.epoch),
            "train_rows": float(len(split.train)),
            "train_seconds": state.seconds,
        }
        figures = {name: value for name, value in figures.items() if math.isfinite(value)}
        self.log.save_artifact(NAME, checkpoint.to_bytes())
        self.log.save_artifact("evaluation.json", evaluation.model_dump_json(), "application/json")
        return FitResult(checkpoint, evaluation, figures, loop.stopped)

    def _train(
        self,
        network: Network,
        objective: Objective,
        preprocessing: Preprocessing,
        data: "_Data",
        hardware: Hardware,
    ) -> tuple[Checkpoint, Loop]:
        """The best weights, which the network has then, too."""
        options, split = self.options, data.split
        batch_size = self._batch_size(split)
        drawn = (
            objective.row_weights(data.labels[split.train]) if options.class_weights == "sampled" else None
        )
        at_once = batch_size * options.accumulate
        training = Batches(data.rows, data.targets, split.train, at_once, options.seed, drawn)
        epochs = options.epochs or automatic_epochs(len(training))
        patience = max(LEAST_PATIENCE, epochs // 5) if options.patience is None else options.patience
        validation = Batches(data.rows, data.targets, split.validation, max(batch_size, PREDICTION_ROWS))
        self.log.log_params(
            {
                "batch_size": batch_size,
                "epochs": epochs,
                "patience": patience,
                "accelerator": hardware.accelerator,
                "precision": hardware.precision.partition("-")[0],
                "parameters": sum(weight.numel() for weight in network.parameters()),
            }
        )
        if options.gradient_checkpointing and not network.checkpoint_gradients():
            raise InvalidInput(
                f"gradient_checkpointing saves nothing in what {self.recipe.name} trains with these options: leave it "
                "out. It is for text-encoder with mode=full."
            )
        weights = None
        if options.class_weights == "balanced":
            known = torch.from_numpy(data.labels[split.train])
            weights = objective.balanced_weights(known).to(hardware.device)
        with quiet():
            # A cluster that the lab happens to run on is none of this training's business.
            fabric = Fabric(
                accelerator=hardware.accelerator,
                devices=1,
                precision=hardware.precision,  # type: ignore[arg-type]
                plugins=[LightningEnvironment()],
            )

        def checkpoint(weights: Mapping[str, Tensor], objective: Objective = objective) -> Checkpoint:
            return Checkpoint(self.recipe, options, preprocessing, objective, weights, dict(state.figures))

        def report(step: int, epoch: int) -> None:
            self.on_progress(Progress("training", step, loop.steps, epoch, epochs))

        state = self.resume or TrainingState()
        with Saver(self.log, self.output, checkpoint) as saver:
            rate = self._learning_rate(network, objective, weights, training, state)
            loop = Loop(
                fabric=fabric,
                network=network,
                objective=objective,
                weights=weights,
                training=training,
                validation=validation,
                options=options,
                epochs=epochs,
                patience=patience,
                learning_rate=rate,
                run=self.log,
                stop_requested=self.stop.is_set,
                on_step=report,
                save=saver.save,
                keep=None if self.output is None else saver.keep,
                state=state,
            )
            try:
                loop.run_to_end()
            except BaseException:
                # What was good before it went wrong is kept.
                if state.best is not None:
                    saver.finish(state, ended=False)
                raise
            if loop.stopped or self.output is not None:
                saver.finish(state, ended=True)
        found = on_cpu(state.best or network.state_dict())
        network.load_state_dict(found)
        validated = loop.validated()
        if options.calibration:
            objective = objective.calibrated(*validated)
        objective = objective.decided(*validated)
        return checkpoint(found, objective), loop

    def _learning_rate(
        self,
        network: Network,
        objective: Objective,
        weights: Tensor | None,
        training: Batches,
        state: TrainingState,
    ) -> float:
        if self.options.learning_rate != "auto":
            return self.options.learning_rate
        if not state.learning_rate:

            def loss(inputs: dict[str, Tensor], targets: Tensor) -> Tensor:
                return network.loss(inputs, targets, lambda *both: objective.loss(both[0], both[1], weights))

            state.learning_rate = find_rate(network, training, loss, self.options.weight_decay, self.log)
        self.log.log_params({"found_learning_rate": state.learning_rate})
        return state.learning_rate

    def _evaluate(self, checkpoint: Checkpoint, network: Network, data: "_Data") -> Evaluation:
        test, objective = data.split.test, checkpoint.objective
        rows_at_once = max(self._batch_size(data.split), PREDICTION_ROWS)
        outputs = predicted(network, objective, _inputs(data.rows, test, rows_at_once))
        self.log.save_artifact(
            PREDICTIONS,
            predictions_file(objective, outputs, data.labels[test], data.samples.ids[test]),
        )
        return evaluate(
            objective,
            outputs,
            data.labels[test],
            task=self.snapshot.info.task,
            training_targets=data.labels[data.split.train],
            sample_ids=data.samples.ids[test],
            preview=lambda row: data.samples.preview(int(test[row])),
            slices=slices_of(data.samples, test, data.split.train, objective, data.labels[test]),
            baselines=baselines(
                objective, data.samples, data.encoded, data.labels, data.split, self.options.seed
            ),
        )

    def _batch_size(self, split: Split) -> int:
        return self.options.batch_size or automatic_batch_size(len(split.train), self.recipe.most_at_once)

    def _check(self) -> None:
        if self.stop.is_set():
            raise Interrupted("The run was stopped before training began.")


def automatic_batch_size(rows: int, most: int) -> int:
    """A power of two from 32 to `most`, about a fiftieth of the rows: enough steps in small data, fewer in large."""
    return int(min(most, max(32, 2 ** round(math.log2(max(1, rows / 50))))))


def automatic_epochs(batches: int) -> int:
    """Passes of so many batches: enough, and of few rows more, as it is steps that a model needs to learn."""
    return max(USUAL_EPOCHS, -(-LEAST_STEPS // batches))


def _inputs(rows: Rows, chosen: np.ndarray, at_once: int) -> Iterator[dict[str, Tensor]]:
    for places in torch.split(torch.from_numpy(chosen), at_once):
        yield rows.take(places)


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
            "Memory ran out. Train again with a smaller batch_size or a smaller model."
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
