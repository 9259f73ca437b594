"""How well a model does on rows that it has not seen."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics

from modelship_lab.bundles.reading import USUAL_THRESHOLD
from modelship_lab.learning.baselines import figures_of_numbers
from modelship_lab.learning.objectives import Objective, OneClass, SeveralClasses
from modelship_lab.learning.slices import worst_slices
from modelship_lab.records.base import Task
from modelship_lab.records.evaluation import Baseline, Calibration, ClassReport, Curve, Evaluation, WorstError

__all__ = ["evaluate", "summary"]

CURVE_POINTS = 200
CURVE_CLASSES = 20
"""Curves are drawn for so many classes at most, those with the most rows."""
WORST = 50
CALIBRATION_BINS = 10
PAIRS = 1000
"""Numbers that a picture shows at most."""


def evaluate(
    objective: Objective,
    outputs: np.ndarray,
    targets: np.ndarray,
    *,
    task: Task,
    training_targets: np.ndarray,
    sample_ids: np.ndarray,
    preview: Callable[[int], str] = lambda row: "",
    slices: Iterable[tuple[str, np.ndarray]] = (),
    baselines: Iterable[Baseline] = (),
) -> Evaluation:
    """Compare what a model says of held-out rows with what they are.

    Args:
        objective: what the model was trained for.
        outputs: float (rows, outputs), probabilities or numbers.
        targets: what the objective's `targets` gives, at least one row.
        task: of the model.
        training_targets: of the training rows, for the baseline.
        sample_ids: int (rows).
        preview: a glimpse of the sample at a row, for the list of the worst errors.
        slices: names of groups of rows, and of each the rows, bool (rows).
        baselines: what simpler models reach on these rows.
    """
    if isinstance(objective, OneClass):
        found = _of_one_class(objective, outputs, targets, training_targets)
    elif isinstance(objective, SeveralClasses):
        found = _of_several(objective, outputs, targets, training_targets)
    else:
        found = _of_numbers(outputs, targets, training_targets)
    worst = tuple(
        WorstError(
            sample_id=int(sample_ids[row]),
            actual=found.actual(row),
            predicted=found.predicted(row),
            confidence=float(found.wrongness[row]),
            preview=preview(row),
        )
        for row in _most_wrong(found.wrongness)
    )
    return Evaluation(
        task=task,
        kind=objective.kind,
        classes=objective.classes,
        unit=objective.reading.unit,
        rows=len(targets),
        worst=worst,
        calibration=None if found.certainty is None else _calibration(*found.certainty),
        slices=worst_slices(slices, found.score, is_error=objective.kind == "number"),
        baselines=tuple(baselines),
        **found.figures,
    )


@dataclass(frozen=True)
class _Found:
    """What is found by what is predicted."""

    figures: dict[str, Any]
    wrongness: np.ndarray
    """By row; 0 where nothing is wrong."""
    actual: Callable[[int], str]
    predicted: Callable[[int], str]
    score: np.ndarray
    """By row: whether it is right, or the absolute error."""
    certainty: tuple[np.ndarray, np.ndarray] | None
    """Probabilities of what was predicted, and whether it was right."""


def _of_one_class(
    objective: OneClass, probabilities: np.ndarray, labels: np.ndarray, training_labels: np.ndarray
) -> _Found:
    classes = objective.classes
    every = np.arange(len(classes))
    # In float64 and normalized anew, so that float32's rounding is no warning of the metrics'.
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    predicted = exact.argmax(1)
    reports, macro_f1, support = _reports(labels, predicted, classes, every)
    commonest = np.bincount(training_labels, minlength=len(classes)).argmax()
    roc, precision_recall = _curves(exact, labels[:, None] == every, classes, support)
    wrong = predicted != labels
    return _Found(
        {
            "accuracy": float((predicted == labels).mean()),
            "macro_f1": macro_f1,
            "log_loss": float(metrics.log_loss(labels, exact, labels=every)),
            "baseline_accuracy": float((labels == commonest).mean()),
            "confusion": metrics.confusion_matrix(labels, predicted, labels=every).tolist(),
            "per_class": reports,
            "roc": roc,
            "precision_recall": precision_recall,
        },
        np.where(wrong, exact.max(1), 0.0),
        lambda row: classes[labels[row]],
        lambda row: classes[predicted[row]],
        ~wrong,
        (exact.max(1), ~wrong),
    )


def _of_several(
    objective: SeveralClasses, probabilities: np.ndarray, labels: np.ndarray, training_labels: np.ndarray
) -> _Found:
    classes = objective.classes
    exact, actual = probabilities.astype(np.float64), labels > 0
    predicted = objective.reading.applying(exact)
    sure = np.where(predicted, exact, 1 - exact)
    reports, macro_f1, support = _reports(actual, predicted, classes, None)
    thresholds = objective.thresholds or (USUAL_THRESHOLD,) * len(classes)
    usual = training_labels.mean(0) > 0.5
    roc, precision_recall = _curves(exact, actual, classes, support)
    certain = np.clip(exact, 1e-15, 1 - 1e-15)
    losses = -np.where(actual, np.log(certain), np.log1p(-certain))

    def names(row: np.ndarray) -> str:
        return ", ".join(name for name, has in zip(classes, row, strict=True) if has) or "none"

    return _Found(
        {
            "accuracy": float((predicted == actual).all(1).mean()),
            "macro_f1": macro_f1,
            "micro_f1": float(metrics.f1_score(actual, predicted, average="micro", zero_division=0)),
            "hamming_loss": float((predicted != actual).mean()),
            "log_loss": float(losses.mean()),
            "baseline_accuracy": float((usual == actual).all(1).mean()),
            "confusion": (),
            "per_class": tuple(
                report.model_copy(update={"threshold": threshold})
                for report, threshold in zip(reports, thresholds, strict=True)
            ),
            "roc": roc,
            "precision_recall": precision_recall,
        },
        np.where(predicted != actual, sure, 0.0).max(1),
        lambda row: names(actual[row]),
        lambda row: names(predicted[row]),
        (predicted == actual).all(1),
        (sure.ravel(), (predicted == actual).ravel()),
    )


def _of_numbers(outputs: np.ndarray, numbers: np.ndarray, training_numbers: np.ndarray) -> _Found:
    predicted = outputs[:, 0].astype(np.float64)
    errors = np.abs(predicted - numbers)
    spread = float(numbers.std())
    figures = figures_of_numbers(predicted, numbers)
    shown = np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), PAIRS)).round().astype(int))
    shown = np.argsort(numbers, kind="stable")[shown]
    return _Found(
        {
            "accuracy": None,
            "macro_f1": None,
            "log_loss": None,
            "baseline_accuracy": None,
            **figures,
            "median_absolute_error": float(np.median(errors)),
            "pairs": tuple(zip(numbers[shown].tolist(), predicted[shown].tolist(), strict=True)),
            "baseline_mae": float(np.abs(numbers - np.median(training_numbers)).mean()),
            "confusion": (),
            "per_class": (),
            "roc": (),
            "precision_recall": (),
        },
        errors / (spread or 1.0),
        lambda row: f"{numbers[row]:.6g}",
        lambda row: f"{predicted[row]:.6g}",
        errors,
        None,
    )


def _calibration(confidence: np.ndarray, right: np.ndarray) -> Calibration:
    """In bins of equally many decisions (Nguyen and O'Connor, "Posterior calibration", 2015)."""
    order = np.argsort(confidence, kind="stable")
    bins = [rows for rows in np.array_split(order, CALIBRATION_BINS) if len(rows)]
    means = [(float(confidence[rows].mean()), float(right[rows].mean()), len(rows)) for rows in bins]
    error = sum(abs(sure - accuracy) * rows for sure, accuracy, rows in means) / len(confidence)
    sure, accuracies, sizes = zip(*means, strict=True)
    return Calibration(error=error, confidence=sure, accuracy=accuracies, rows=sizes)


def _most_wrong(wrongness: np.ndarray) -> list[int]:
    order = np.argsort(-wrongness, kind="stable")[:WORST]
    return [int(row) for row in order if wrongness[row] > 0]


def _reports(
    actual: np.ndarray, predicted: np.ndarray, classes: Sequence[str], labels: np.ndarray | None
) -> tuple[tuple[ClassReport, ...], float, np.ndarray]:
    """Of each class, the mean F1 of those that are there, and how many rows have each."""
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        actual, predicted, labels=labels, average=None, zero_division=0
    )
    reports = tuple(
        ClassReport(
            label=name,
            precision=float(precision[place]),
            recall=float(recall[place]),
            f1=float(f1[place]),
            support=int(support[place]),
        )
        for place, name in enumerate(classes)
    )
    present = support > 0
    return reports, float(f1[present].mean()) if present.any() else 0.0, support


def summary(evaluation: Evaluation) -> dict[str, float]:
    """The figures of a run that people compare."""
    names = (
        *("accuracy", "macro_f1", "micro_f1", "hamming_loss", "log_loss"),
        *("mae", "rmse", "r2", "median_absolute_error"),
    )
    figures = {f"test_{name}": getattr(evaluation, name) for name in names}
    figures |= {
        "baseline_accuracy": evaluation.baseline_accuracy,
        "baseline_mae": evaluation.baseline_mae,
        "test_calibration_error": evaluation.calibration.error if evaluation.calibration else None,
        "test_rows": float(evaluation.rows),
    }
    there = [one for one in evaluation.per_class if one.support]
    if there:
        figures["test_macro_precision"] = sum(one.precision for one in there) / len(there)
        figures["test_macro_recall"] = sum(one.recall for one in there) / len(there)
    return {name: value for name, value in figures.items() if value is not None}


def _curves(
    probabilities: np.ndarray, actual: np.ndarray, classes: Sequence[str], support: np.ndarray
) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """ROC and precision-recall curves, each class against the others; none for a class without both kinds."""
    drawable = np.flatnonzero((support > 0) & (support < len(actual)))
    most = np.sort(drawable[np.argsort(-support[drawable], kind="stable")][:CURVE_CLASSES])
    roc: list[Curve] = []
    precision_recall: list[Curve] = []
    for place in most:
        truth, scores = actual[:, place], probabilities[:, place]
        false_rate, true_rate, _ = metrics.roc_curve(truth, scores)
        roc.append(_curve(classes[place], false_rate, true_rate, float(metrics.auc(false_rate, true_rate))))
        precision, recall, _ = metrics.precision_recall_curve(truth, scores)
        area = float(metrics.average_precision_score(truth, scores))
        precision_recall.append(_curve(classes[place], recall[::-1], precision[::-1], area))
    return tuple(roc), tuple(precision_recall)


def _curve(label: str, x: np.ndarray, y: np.ndarray, area: float) -> Curve:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), CURVE_POINTS)).round().astype(int))
    return Curve(label=label, x=tuple(x[kept].tolist()), y=tuple(y[kept].tolist()), area=area)
