"""Fit an estimator of scikit-learn on a snapshot, stage by stage, with the log and the evaluation of any other recipe."""

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelship_lab.bundles.parity import check_parity
from modelship_lab.bundles.preprocessing import Arrays
from modelship_lab.learning import recipes
from modelship_lab.learning.baselines import baselines
from modelship_lab.learning.checkpoint import NAME, Checkpoint
from modelship_lab.learning.estimators import Estimator, EstimatorPerClass
from modelship_lab.learning.evaluate import evaluate, summary
from modelship_lab.learning.fit_result import FitResult
from modelship_lab.learning.network import predicted
from modelship_lab.learning.objectives import Objective, objective_of
from modelship_lab.learning.onnx_network import as_weights, with_activation
from modelship_lab.learning.predictions import PREDICTIONS, predictions_file
from modelship_lab.learning.progress import Progress
from modelship_lab.learning.run_log import RunLog
from modelship_lab.learning.samples import Samples, encode_samples
from modelship_lab.learning.saver import write_folder
from modelship_lab.learning.slices import slices_of
from modelship_lab.learning.split import Split, check_trainable
from modelship_lab.records.errors import Interrupted, TrainingFailed
from modelship_lab.records.recipe_options import RecipeOptions, TabularSklearnOptions
from modelship_lab.records.recipes import Recipe

if TYPE_CHECKING:
    from modelship_lab.client import SnapshotData

__all__ = ["fit_estimator"]

TRAINING_ROWS = 2000
"""The training loss is taken on so many of the rows."""
PARITY_ROWS = 64
BATCH_SIZES = (1, 7, 64)
TOLERANCE = 1e-4

Estimates = Estimator | EstimatorPerClass


def fit_estimator(
    run: RunLog,
    snapshot: "SnapshotData",
    recipe: Recipe,
    options: RecipeOptions,
    stop: threading.Event,
    on_progress: Callable[[Progress], None],
    output: Path | None = None,
    given: list[str | None] | None = None,
) -> FitResult:
    """Fit and evaluate, as `fit.fit` does; a step is an iteration of the estimator: a round, a tree, a pass.

    What is kept of the estimator is its ONNX graph: nothing that is read back later is executed.

    Raises:
        InvalidData: too few labels; says what to label.
        TrainingFailed: the estimator cannot learn from these rows; says why.
        Interrupted: it was stopped before the first stage.
    """
    assert isinstance(options, TabularSklearnOptions)
    info = snapshot.info
    check_trainable(info)
    on_progress(Progress("preparing"))
    samples = Samples.of_snapshot(snapshot)
    objective = objective_of(info)
    targets = objective.targets(samples.table)
    split = objective.split(targets, samples.ids, options.held_out, options.seed, given or samples.splits())
    objective = objective.fitted(targets[split.train])
    preprocessing = recipes.preprocessing(recipe, options, samples, split.train)
    rows = encode_samples(preprocessing, samples)
    inputs = {name: np.asarray(column) for name, column in rows.inputs.items()}
    if stop.is_set():
        raise Interrupted("The run was stopped before training began.")
    growing = _Growing(run, objective, targets, split, inputs, options, stop, on_progress)
    estimator = growing.grown(
        recipes.estimator(
            recipe, options, preprocessing, objective, _taken(inputs, split.train), targets[split.train]
        )
    )
    on_progress(Progress("evaluating"))
    validation = _taken(inputs, split.validation)
    logits, known = (
        torch.from_numpy(estimator.logits(validation)),
        torch.from_numpy(targets[split.validation]),
    )
    if options.calibration:
        objective = objective.calibrated(logits, known)
    objective = objective.decided(logits, known)
    model = estimator.to_onnx()
    _check(estimator, objective, model, validation)
    checkpoint = Checkpoint(recipe, options, preprocessing, objective, as_weights(model), growing.best)
    content = checkpoint.to_bytes()
    run.save_artifact(NAME, content)
    if output is not None:
        write_folder(output, estimator.stages, {NAME: content})
    test = split.test
    outputs = predicted(checkpoint.network(), objective, [rows.take(torch.from_numpy(test))])
    run.save_artifact(PREDICTIONS, predictions_file(objective, outputs, targets[test], samples.ids[test]))
    evaluation = evaluate(
        objective,
        outputs,
        targets[test],
        task=info.task,
        training_targets=targets[split.train],
        sample_ids=samples.ids[test],
        preview=lambda row: samples.preview(int(test[row])),
        slices=slices_of(samples, test, split.train, objective, targets[test]),
        baselines=baselines(objective, samples, rows, targets, split, options.seed),
    )
    figures = summary(evaluation) | {
        **{name: value for name, value in growing.best.items() if name.startswith("val_")},
        "iterations": float(estimator.stages * estimator.iterations),
        "train_rows": float(len(split.train)),
        "train_seconds": growing.seconds,
    }
    run.save_artifact("evaluation.json", evaluation.model_dump_json(), "application/json")
    return FitResult(checkpoint, evaluation, figures, growing.stopped)


class _Growing:
    """An estimator that grows stage by stage, as long as that makes it better."""

    def __init__(
        self,
        run: RunLog,
        objective: Objective,
        targets: np.ndarray,
        split: Split,
        inputs: Arrays,
        options: TabularSklearnOptions,
        stop: threading.Event,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.run = run
        self.objective = objective
        self.options = options
        self.stop = stop
        self.on_progress = on_progress
        seen = split.train[:: max(1, len(split.train) // TRAINING_ROWS)]
        self.parts = {
            name: (_taken(inputs, chosen), torch.from_numpy(targets[chosen]))
            for name, chosen in (("train", seen), ("val", split.validation))
        }
        self.best: dict[str, float] = {}
        """Figures of the best stage."""
        self.stopped = False
        self.seconds = 0.0

    def grown(self, estimator: Estimates) -> Estimates:
        """The estimator as it was after the stage with the lowest loss on the validation rows."""
        started_s = time.perf_counter()
        iterations, stages = estimator.iterations, -(-self.options.iterations // estimator.iterations)
        best_stage = 0
        while not estimator.is_done:
            if self.stop.is_set():
                self.stopped = True
                break
            _explained(estimator.advance)
            step = min(estimator.stages * iterations, self.options.iterations)
            figures = self._figures(estimator)
            if figures["val_loss"] < self.best.get("val_loss", math.inf):
                self.best, best_stage = figures, estimator.stages
            self.seconds = time.perf_counter() - started_s
            left = 0 if estimator.is_done else stages - estimator.stages
            self.run.log(
                figures
                | {
                    "epoch": float(estimator.stages),
                    "progress": 100.0 * (1 - left / stages),
                    "remaining_s": self.seconds / estimator.stages * left,
                },
                step=step - 1,
            )
            self.on_progress(Progress("training", step, self.options.iterations, estimator.stages, stages))
            if self.options.time_budget_s is not None and self.seconds >= self.options.time_budget_s:
                break
            patience = self.options.patience
            if patience and (estimator.stages - best_stage) * iterations >= patience:
                break
        if not best_stage:
            if self.stopped:
                raise Interrupted("The run was stopped before the first stage of training.")
            raise TrainingFailed(
                "The loss on the validation rows is not a number. Look for extreme values in the table."
            )
        estimator.cut(best_stage)
        return estimator

    def _figures(self, estimator: Estimates) -> dict[str, float]:
        figures = {}
        for part, (inputs, targets) in self.parts.items():
            logits = torch.from_numpy(estimator.logits(inputs))
            figures[f"{part}_loss"] = float(self.objective.loss(logits, targets))
        return figures | self.objective.figures(logits, targets)


def _explained(work: Callable[[], None]) -> None:
    try:
        work()
    except MemoryError as error:
        raise TrainingFailed(
            "Memory ran out in training. Train again with fewer iterations, fewer leaves or more least_rows."
        ) from error
    except ValueError as error:
        raise TrainingFailed(f"The estimator cannot be fitted on these rows: {error!s:.300}") from error


def _taken(inputs: Arrays, chosen: np.ndarray) -> Arrays:
    return {name: column[chosen] for name, column in inputs.items()}


def _check(estimator: Estimates, objective: Objective, model: bytes, inputs: Arrays) -> None:
    """Make sure that the graph says what the estimator says: from here on only the graph is there."""

    def source(batch: Arrays) -> np.ndarray:
        return objective.activation(torch.from_numpy(estimator.logits(batch))).numpy()

    rows = len(next(iter(inputs.values())))
    chosen = np.arange(rows)[:: max(1, rows // PARITY_ROWS)][:PARITY_ROWS]
    check_parity(
        source,
        with_activation(model, objective),
        _taken(inputs, chosen),
        BATCH_SIZES,
        TOLERANCE * objective.answer_scale,
        objective.reading,
    )
