import threading

import numpy as np
import pyarrow as pa
import pytest

from modelship_lab.bundles.run import BundleModel
from modelship_lab.learning.checkpoint import Checkpoint
from modelship_lab.learning.export import write_bundle
from modelship_lab.learning.fit import fit
from modelship_lab.learning.samples import Samples
from modelship_lab.learning.training_state import TrainingState
from modelship_lab.records.bundle import Lineage
from modelship_lab.records.errors import InvalidInput
from tests.learning.snapshots import LocalSnapshot, Recorder, snapshot

ESTIMATORS = ["gradient-boosting", "random-forest", "extra-trees", "linear"]
KEYS = [f"shop {key}" for key in range(45)]


def orders(rows=600):
    """Numbers with gaps, a category of many values of which a set decides, and a class that nobody has."""
    random = np.random.default_rng(0)
    shop, amount = random.integers(0, len(KEYS), rows), random.normal(size=rows)
    late = shop % 3 == 0
    columns = {
        "shop": [None if row % 11 == 0 else KEYS[key] for row, key in enumerate(shop)],
        "amount": [None if row % 7 == 0 else float(value) for row, value in enumerate(amount)],
        "noise": random.integers(0, 5, rows).astype(float),
    }
    return snapshot(
        "tabular_classification", ["fine", "late", "lost", "odd"], np.where(amount > 1.2, 2, late), columns
    )


@pytest.fixture(scope="module", params=ESTIMATORS)
def fitted(request, tmp_path_factory):
    run, data = Recorder(), orders()
    options = {"estimator": request.param, "iterations": 40, "least_rows": 4}
    run.folder = tmp_path_factory.mktemp("output")
    return request.param, run, data, fit(run, data, "tabular-sklearn", options, output=run.folder)


def test_an_estimator_is_a_run_like_any_other(fitted):
    _, run, _, result = fitted
    assert set(run.artifacts) == {"checkpoint.ckpt", "evaluation.json", "predictions.arrow"}
    (left,) = run.folder.iterdir()
    assert left.name.startswith("checkpoint-")
    assert (left / "checkpoint.ckpt").read_bytes() == run.artifacts["checkpoint.ckpt"]
    assert len(result.evaluation.baselines) == 2
    points = run.series("val_loss")
    assert len(points) >= 5
    assert len(run.series("train_loss")) == len(run.series("val_accuracy")) == len(points)
    assert result.summary["val_loss"] == min(points)
    assert result.summary["test_accuracy"] > result.summary["baseline_accuracy"]
    steps = [step for step, figures in run.points if "val_loss" in figures]
    assert steps == sorted(set(steps))
    assert run.series("progress")[-1] == 100


def test_what_is_kept_of_an_estimator_says_the_same_without_it(fitted, tmp_path):
    _, run, data, result = fitted
    kept = Checkpoint.from_bytes(run.artifacts["checkpoint.ckpt"])
    manifest = write_bundle(tmp_path / "bundle", kept, data, Lineage(), {})
    assert manifest.parity.max_difference < 1e-5
    model = BundleModel(tmp_path / "bundle")
    inputs = Samples.of_snapshot(data).inputs()
    places = {int(sample): place for place, sample in enumerate(data.content.column("sample_id").to_numpy())}
    for error in result.evaluation.worst[:5]:
        said = model.predict([inputs[places[error.sample_id]]])[0]
        assert said.prediction == error.predicted
        assert said.confidence == pytest.approx(error.confidence, abs=1e-5)
    odd = model.predict([{"shop": "never seen", "amount": 1e30, "noise": None}, {"noise": -3}])
    assert all(sum(said.probabilities) == pytest.approx(1) for said in odd)
    assert all(said.probabilities[-1] < 1e-6 for said in odd)


def test_gradient_boosting_asks_whether_a_category_is_in_a_set():
    result = fit(Recorder(), orders(1500), "tabular-sklearn", {"iterations": 80})
    assert result.summary["test_accuracy"] > 0.85


def test_an_estimator_that_is_stopped_keeps_what_it_has_learned():
    stop, run = threading.Event(), Recorder()
    options = {"iterations": 4000, "patience": 0}

    def watch(progress):
        if progress.epoch == 2:
            stop.set()

    result = fit(run, orders(), "tabular-sklearn", options, stop, watch)
    assert result.stopped
    assert len(run.series("val_loss")) == 2
    assert result.evaluation.rows > 40


def test_an_estimator_ends_when_its_time_is_over():
    run = Recorder()
    result = fit(run, orders(), "tabular-sklearn", {"iterations": 4000, "patience": 0, "time_budget_s": 0.01})
    assert not result.stopped
    assert len(run.series("val_loss")) == 1


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_rows_with_several_classes_have_an_estimator_for_each(estimator, tmp_path):
    data = orders(400)
    table = data.content
    large = table.column("amount").to_numpy(zero_copy_only=False) > 0
    late = table.column("noise").to_numpy() < 2
    # All are "fine", and "odd" is nobody.
    lists = [
        [0, *([1] if is_late else []), *([2] if is_large else [])]
        for is_late, is_large in zip(late, large, strict=True)
    ]
    by_class = {"fine": 400, "late": int(late.sum()), "lost": int(large.sum()), "odd": 0}
    several = LocalSnapshot(
        data.info.model_copy(update={"multilabel": True, "by_class": by_class}),
        table.set_column(1, "labels", pa.array(lists, pa.list_(pa.int32()))),
        {},
    )
    options = {"estimator": estimator, "iterations": 40, "least_rows": 4}
    result = fit(Recorder(), several, "tabular-sklearn", options)
    f1 = {each.label: each.f1 for each in result.evaluation.per_class}
    assert f1["fine"] == 1 and f1["lost"] > 0.9 and f1["late"] > 0.9
    manifest = write_bundle(tmp_path / "bundle", result.checkpoint, several, Lineage(), {})
    assert manifest.parity.max_difference < 1e-5 and len(manifest.thresholds) == 4
    said = BundleModel(tmp_path / "bundle").predict([{"shop": "shop 3", "amount": 2.0, "noise": 4.0}])[0]
    assert said.probabilities[0] > 0.95 and said.probabilities[3] < 0.05
    assert sorted(said.prediction) == ["fine", "lost"]


def test_an_estimator_has_no_state_to_go_on_from():
    with pytest.raises(InvalidInput, match="Train again"):
        fit(Recorder(), orders(60), "tabular-sklearn", resume=TrainingState())
