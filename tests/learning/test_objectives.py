"""What differs between one class, several classes and a number."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from modelship_lab.learning.checkpoint import NAME, Checkpoint
from modelship_lab.learning.evaluate import evaluate, summary
from modelship_lab.learning.fit import fit
from modelship_lab.learning.objectives import Number, OneClass, SeveralClasses, stored_objective
from modelship_lab.records.errors import InvalidData
from tests.learning.snapshots import Recorder, several_topics

CLASSES = ("ham", "spam", "other")


def test_several_classes_of_a_sample_are_learned():
    run = Recorder()
    result = fit(run, several_topics(300), "text-linear", {"buckets": 4096})
    assert result.evaluation.kind == "labels"
    assert result.evaluation.accuracy > 0.8 > result.evaluation.baseline_accuracy
    assert result.evaluation.confusion == ()
    assert [one.label for one in result.evaluation.per_class] == ["sports", "money", "weather"]
    # Two hundred rows are few steps a pass: it goes on until it has learned them.
    assert result.evaluation.macro_f1 > 0.95
    assert run.params["epochs"] == len(run.series("val_f1")) > 50
    saved = Checkpoint.from_bytes(run.artifacts[NAME])
    assert isinstance(saved.objective, SeveralClasses)
    assert saved.objective == result.checkpoint.objective


def test_several_classes_are_split_so_that_rare_ones_are_in_all_parts():
    objective = SeveralClasses(classes=CLASSES)
    table = pa.table(
        {"labels": pa.array([[0, 2] if row < 3 else [0] if row % 2 else [] for row in range(90)])}
    )
    targets = objective.targets(table)
    assert targets.sum(0).tolist() == [47, 0, 3]
    split = objective.split(targets, np.arange(90), (0.15, 0.15), 0, [])
    assert [int(targets[part, 2].sum()) for part in (split.train, split.validation, split.test)] == [1, 1, 1]
    with pytest.raises(InvalidData, match="in one class"):
        objective.split(targets[3:4], np.arange(1), (0.15, 0.15), 0, [])


def test_figures_of_several_classes_are_those_of_hand_counting():
    found = evaluate(
        SeveralClasses(classes=("a", "b")),
        np.array([[0.9, 0.2], [0.8, 0.6], [0.1, 0.3]], np.float32),
        np.array([[1, 0], [1, 0], [0, 1]], np.float32),
        task="text_classification",
        training_targets=np.array([[1, 0], [1, 0], [0, 0]], np.float32),
        sample_ids=np.array([7, 8, 9]),
    )
    assert found.accuracy == pytest.approx(1 / 3)
    assert found.baseline_accuracy == pytest.approx(2 / 3)
    assert [one.recall for one in found.per_class] == [1, 0]
    assert [(one.sample_id, one.actual, one.predicted) for one in found.worst] == [
        (9, "b", "none"),
        (8, "a", "a, b"),
    ]
    assert found.worst[0].confidence == pytest.approx(0.7)


def test_figures_of_numbers_are_those_of_hand_counting():
    found = evaluate(
        Number(),
        np.array([[1.0], [2.0], [6.0]]),
        np.array([1.0, 3.0, 5.0]),
        task="tabular_classification",
        training_targets=np.array([0.0, 2.0, 9.0]),
        sample_ids=np.array([7, 8, 9]),
    )
    figures = summary(found)
    assert figures["test_mae"] == pytest.approx(2 / 3)
    assert figures["test_r2"] == pytest.approx(1 - 2 / 8)
    assert figures["baseline_mae"] == pytest.approx(5 / 3)
    assert "test_accuracy" not in figures
    assert [(one.actual, one.predicted) for one in found.worst] == [("3", "2"), ("5", "6")]


def test_a_number_is_learned_in_standard_deviations_and_told_in_its_own_unit():
    targets = np.array([10.0, 20.0, 30.0])
    objective = Number().fitted(targets)
    logits = torch.tensor([[-1.0], [0.0], [1.0]])
    assert objective.activation(logits).squeeze(1).numpy() == pytest.approx(
        [20 - 8.165, 20, 20 + 8.165], abs=1e-3
    )
    right = torch.from_numpy((targets - 20) / targets.std())[:, None]
    assert float(objective.loss(right, torch.from_numpy(targets))) == pytest.approx(0)
    assert objective.figures(right, torch.from_numpy(targets))["val_r2"] == pytest.approx(1)


@pytest.mark.parametrize("kind", [OneClass, SeveralClasses])
def test_a_temperature_takes_back_what_is_too_sure(kind):
    random = np.random.default_rng(0)
    logits = torch.from_numpy(random.normal(0, 2, (4000, 3)))
    objective = kind(classes=CLASSES)
    shares = objective.activation(logits).numpy()
    if kind is OneClass:
        targets = torch.from_numpy(np.array([random.choice(3, p=row) for row in shares]))
    else:
        targets = torch.from_numpy((random.random(shares.shape) < shares).astype(np.float32))
    calibrated = objective.calibrated(logits * 3, targets)
    assert calibrated.temperature == pytest.approx(3, rel=0.1)
    assert stored_objective(calibrated.model_dump()) == calibrated
