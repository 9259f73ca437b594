"""What an evaluation says beyond figures: simpler models, calibration, the worst slices, and whether runs differ."""

import io

import numpy as np
import pyarrow as pa
import pytest

from modelship_lab.learning.evaluate import evaluate
from modelship_lab.learning.fit import fit
from modelship_lab.learning.objectives import OneClass
from modelship_lab.learning.slices import worst_slices
from tests.learning.snapshots import Recorder, reviews, several_topics, table

CLASSES = ("no", "yes")


def test_a_text_model_is_compared_with_simpler_ones_and_keeps_its_predictions():
    run = Recorder()
    result = fit(run, reviews(400), "text-linear", {"epochs": 6})
    usual, classic = result.evaluation.baselines
    assert usual.name == "always the commonest class"
    assert usual.accuracy == pytest.approx(result.evaluation.baseline_accuracy)
    assert classic.name == "TF-IDF and logistic regression"
    assert classic.accuracy > usual.accuracy
    assert classic.train_rows == result.summary["train_rows"]
    calibration = result.evaluation.calibration
    assert sum(calibration.rows) == result.evaluation.rows
    assert result.summary["test_calibration_error"] == calibration.error < 0.3
    kept = pa.ipc.open_file(io.BytesIO(run.artifacts["predictions.arrow"])).read_all()
    right = [
        a == b for a, b in zip(*(kept[name].to_pylist() for name in ("actual", "predicted")), strict=True)
    ]
    assert np.mean(right) == pytest.approx(result.evaluation.accuracy)


def test_a_table_is_compared_with_gradient_boosting():
    result = fit(Recorder(), table("wine"), "tabular-mlp", {"epochs": 3})
    assert result.evaluation.baselines[1].name == "gradient boosting"
    assert result.evaluation.baselines[1].accuracy > 0.8


def test_several_classes_have_baselines_too():
    result = fit(Recorder(), several_topics(), "text-linear", {"epochs": 2, "buckets": 512})
    assert [one.name for one in result.evaluation.baselines] == [
        "always the usual classes",
        "TF-IDF and logistic regression",
    ]


def test_calibration_corrects_how_sure_it_is_without_changing_what_is_predicted():
    options = {"epochs": 2, "learning_rate": 0.02}  # so little that it is hardly ever sure
    raw, corrected = (
        fit(Recorder(), reviews(1500), "text-linear", {**options, "calibration": calibration})
        for calibration in (False, True)
    )
    assert corrected.evaluation.accuracy == raw.evaluation.accuracy
    assert corrected.checkpoint.objective.temperature < 0.8
    assert raw.checkpoint.objective.temperature == 1
    assert corrected.evaluation.log_loss < raw.evaluation.log_loss


def test_the_worst_slices_are_those_that_are_worse_beyond_chance():
    right = np.ones(400)
    right[:40] = 0
    broken, few, usual = np.zeros(400, bool), np.zeros(400, bool), np.zeros(400, bool)
    broken[:60], few[:3], usual[20:380] = True, True, True
    found = worst_slices([("few", few), ("usual", usual), ("broken", broken)], right)
    assert [(one.name, one.rows) for one in found] == [("broken", 60)]
    assert found[0].score == pytest.approx(1 / 3)
    assert found[0].low < 1 / 3 < found[0].high < 0.9
    errors = worst_slices([("broken", broken)], 1 - right, is_error=True)
    assert [one.name for one in errors] == ["broken"]


def test_slices_of_a_table_are_by_feature_and_of_a_class_by_name():
    found = evaluate(
        OneClass(classes=CLASSES),
        np.array([[0.9, 0.1]] * 60),
        np.array([0] * 40 + [1] * 20),
        task="text_classification",
        training_targets=np.array([0, 1]),
        sample_ids=np.arange(60),
        slices=[("class: yes", np.arange(60) >= 40)],
    )
    assert [(one.name, one.score) for one in found.slices] == [("class: yes", 0)]
