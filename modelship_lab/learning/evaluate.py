"""How well a model does on rows that it has not seen."""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn import metrics

from modelship_lab.records.base import Task
from modelship_lab.records.evaluation import ClassReport, Curve, Evaluation, WorstError

__all__ = ["evaluate", "summary"]

CURVE_POINTS = 200
CURVE_CLASSES = 20
"""Curves are drawn for so many classes at most, those with the most rows."""
WORST = 50


def evaluate(
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    task: Task,
    classes: Sequence[str],
    training_labels: np.ndarray,
    sample_ids: np.ndarray,
    preview: Callable[[int], str] = lambda row: "",
) -> Evaluation:
    """Compare probabilities with the true labels of held-out rows.

    Args:
        probabilities: float (rows, classes).
        labels: int (rows), the true classes, at least one row.
        task: of the model.
        classes: their names.
        training_labels: of the training rows, for the baseline.
        sample_ids: int (rows).
        preview: a glimpse of the sample at a row, for the list of the worst errors.
    """
    count = len(classes)
    every = np.arange(count)
    # In float64 and normalized anew, so that float32's rounding is no warning of the metrics'.
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    predicted = exact.argmax(1)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    present = support > 0
    commonest = np.bincount(training_labels, minlength=count).argmax()
    confusion = metrics.confusion_matrix(labels, predicted, labels=every)
    roc, precision_recall = _curves(exact, labels, classes, support)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-exact[wrong, predicted[wrong]], kind="stable")][:WORST]
    return Evaluation(
        task=task,
        classes=tuple(classes),
        rows=len(labels),
        accuracy=float((predicted == labels).mean()),
        macro_f1=float(f1[present].mean()),
        log_loss=float(metrics.log_loss(labels, exact, labels=every)),
        baseline_accuracy=float((labels == commonest).mean()),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        per_class=tuple(
            ClassReport(
                label=name,
                precision=float(precision[place]),
                recall=float(recall[place]),
                f1=float(f1[place]),
                support=int(support[place]),
            )
            for place, name in enumerate(classes)
        ),
        roc=roc,
        precision_recall=precision_recall,
        worst=tuple(
            WorstError(
                sample_id=int(sample_ids[row]),
                actual=classes[labels[row]],
                predicted=classes[predicted[row]],
                confidence=float(exact[row, predicted[row]]),
                preview=preview(int(row)),
            )
            for row in wrong
        ),
    )


def summary(evaluation: Evaluation) -> dict[str, float]:
    """The figures of a run that people compare."""
    return {
        "test_accuracy": evaluation.accuracy,
        "test_macro_f1": evaluation.macro_f1,
        "test_log_loss": evaluation.log_loss,
        "baseline_accuracy": evaluation.baseline_accuracy,
        "test_rows": float(evaluation.rows),
    }


def _curves(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], support: np.ndarray
) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """ROC and precision-recall curves, each class against the others; none for a class without both kinds."""
    drawable = np.flatnonzero((support > 0) & (support < len(labels)))
    most = np.sort(drawable[np.argsort(-support[drawable], kind="stable")][:CURVE_CLASSES])
    roc: list[Curve] = []
    precision_recall: list[Curve] = []
    for place in most:
        truth, scores = labels == place, probabilities[:, place]
        false_rate, true_rate, _ = metrics.roc_curve(truth, scores)
        roc.append(_curve(classes[place], false_rate, true_rate, float(metrics.auc(false_rate, true_rate))))
        precision, recall, _ = metrics.precision_recall_curve(truth, scores)
        area = float(metrics.average_precision_score(truth, scores))
        precision_recall.append(_curve(classes[place], recall[::-1], precision[::-1], area))
    return tuple(roc), tuple(precision_recall)


def _curve(label: str, x: np.ndarray, y: np.ndarray, area: float) -> Curve:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), CURVE_POINTS)).round().astype(int))
    return Curve(label=label, x=tuple(x[kept].tolist()), y=tuple(y[kept].tolist()), area=area)
