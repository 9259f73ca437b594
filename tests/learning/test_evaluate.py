import numpy as np
import pytest
from sklearn import metrics

from modelship_lab.learning.evaluate import CURVE_POINTS, evaluate, summary
from modelship_lab.learning.objectives import OneClass

CLASSES = ("ham", "spam", "other")


def evaluation(labels, scores, classes=CLASSES, training=(0, 0, 0, 1, 2)):
    scores = np.asarray(scores, np.float64)
    return evaluate(
        OneClass(classes=classes),
        (scores / scores.sum(1, keepdims=True)).astype(np.float32),
        np.asarray(labels),
        task="text_classification",
        training_targets=np.asarray(training),
        sample_ids=np.arange(100, 100 + len(labels)),
        preview=lambda row: f"text {row}",
    )


def test_figures_are_those_of_hand_counting():
    found = evaluation([0, 0, 1, 1], [[8, 1, 1], [1, 8, 1], [1, 8, 1], [2, 7, 1]])
    assert found.accuracy == 0.75
    assert found.confusion == ((1, 1, 0), (0, 2, 0), (0, 0, 0))
    ham, spam, other = found.per_class
    assert (ham.precision, ham.recall, ham.support) == (1.0, 0.5, 2)
    assert (spam.precision, spam.recall) == (pytest.approx(2 / 3), 1.0)
    assert other.support == 0
    # A class that the test rows do not have is no part of the mean.
    assert found.macro_f1 == pytest.approx((2 / 3 + 0.8) / 2)
    assert found.baseline_accuracy == 0.5
    assert found.log_loss == pytest.approx(-np.log([0.8, 0.1, 0.8, 0.7]).mean())
    assert [(error.sample_id, error.actual, error.predicted) for error in found.worst] == [
        (101, "ham", "spam")
    ]
    assert found.worst[0].confidence == pytest.approx(0.8)
    assert found.worst[0].preview == "text 1"


def test_the_most_confident_error_is_the_worst():
    found = evaluation([0, 0, 0], [[4, 6, 0], [1, 9, 0], [9, 1, 0]])
    assert [error.sample_id for error in found.worst] == [101, 100]


def test_curves_are_thinned_but_keep_their_area_and_ends():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 5000)
    positive = np.clip(labels * 0.3 + random.uniform(0, 0.7, 5000), 0.001, 0.999)
    scores = np.stack([1 - positive, positive], 1)
    found = evaluation(labels, scores, classes=("no", "yes"), training=(0, 1))
    for curve in (*found.roc, *found.precision_recall):
        assert len(curve.x) <= CURVE_POINTS
        assert list(curve.x) == sorted(curve.x)
    assert (found.roc[1].x[0], found.roc[1].x[-1]) == (0, 1)
    assert found.roc[1].area == pytest.approx(metrics.roc_auc_score(labels, positive), abs=1e-6)
    drawn = metrics.auc(found.roc[1].x, found.roc[1].y)
    assert drawn == pytest.approx(found.roc[1].area, abs=0.005)


def test_one_class_in_the_test_rows_has_no_curves():
    found = evaluation([1, 1], [[1, 8, 1], [8, 1, 1]])
    assert found.roc == found.precision_recall == ()
    assert summary(found)["test_accuracy"] == 0.5
