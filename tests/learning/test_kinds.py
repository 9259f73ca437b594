"""Numbers and sets of classes, from labels to a deployment that answers with them."""

import numpy as np
import polars as pl
import pytest
import torch

from modelship_lab import client
from modelship_lab.learning import export, suggest, train
from modelship_lab.learning.objectives import SeveralClasses
from modelship_lab.records.errors import Conflict, InvalidData, InvalidInput

TIMEOUT_S = 120


@pytest.fixture(scope="module")
def lab(lab_server, tmp_path_factory):
    return client.connect(lab_server.url, lab_server.token, data_dir=tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def houses(lab):
    """Houses with their prices, some of which are not known."""
    random = np.random.default_rng(0)
    area, town = random.uniform(40, 200, 240), random.integers(0, 3, 240)
    price = 2000 * area + 50_000 * town + random.normal(0, 5000, 240)
    frame = pl.DataFrame(
        {
            "area": area,
            "town": np.array(["Bonn", "Rome", "Oslo"])[town],
            "price": [None if row >= 220 else one for row, one in enumerate(price)],
        }
    )
    settings = {"unit": "USD", "lowest": 0, "highest": 400_000}
    project = lab.new_project("kinds houses", "tabular_regression", settings=settings)
    project.import_frame(frame, label="price")
    return project


@pytest.fixture(scope="module")
def priced(lab, houses):
    runs = [
        train.start(lab, houses, "tabular-sklearn", {"estimator": "linear", "folds": 3}),
        train.start(lab, houses, "tabular-sklearn", {"estimator": "random-forest", "iterations": 10}),
    ]
    for run in runs:
        record = train.wait(run, TIMEOUT_S)
        assert record.status == "finished", record.error
    return runs


def test_a_run_of_numbers_is_judged_in_their_unit(houses, priced):
    linear, forest = priced
    found = linear.evaluation()
    assert (found.kind, found.classes, found.accuracy, found.confusion) == ("number", (), None, ())
    assert found.unit == "USD"
    assert 2000 < found.median_absolute_error < 10_000
    assert found.r2 > 0.95
    assert linear.refresh().summary["test_mae"] == pytest.approx(found.mae)
    assert [one.name for one in found.baselines] == [
        "always the median",
        "always the mean",
        "gradient boosting",
    ]
    median, mean, _ = found.baselines
    assert median.mae == found.baseline_mae
    assert mean.r2 < 0.1 < found.r2
    actual, predicted = np.array(found.pairs).T
    assert np.abs(actual - predicted).mean() == pytest.approx(found.mae)
    worst = houses.sample(found.worst[0].sample_id)
    assert f"{worst.number:.6g}" == found.worst[0].actual
    told = linear.significance(forest.id)
    assert (told.metric, told.rows) == ("mae", found.rows)
    assert told.difference == pytest.approx(forest.evaluation().mae - found.mae)


def test_the_folds_of_numbers_are_judged_by_their_errors(lab, houses, priced):
    figures = priced[0].refresh().summary
    folds = [run.summary for run in lab.run_records(houses.id) if run.parent_id == priced[0].id]
    rows = lab.snapshot(priced[0].record.snapshot_id).info.rows
    assert [fold["test_rows"] for fold in folds] == pytest.approx([rows / 3] * 3, abs=1)
    assert sum(fold["test_rows"] for fold in folds) == rows
    assert figures["folds"] == 3 and not any("accuracy" in name for name in figures)
    for name in ("mae", "rmse", "r2"):
        found = [fold[f"test_{name}"] for fold in folds]
        assert figures[f"cv_{name}"] == pytest.approx(np.mean(found))
        assert figures[f"cv_{name}_spread"] == pytest.approx(np.std(found, ddof=1))


def test_the_worst_errors_of_numbers_are_the_farthest_and_go_to_the_queue(lab, houses, priced):
    worst = priced[0].evaluation().worst
    errors = [abs(float(one.actual) - float(one.predicted)) for one in worst]
    assert errors == sorted(errors, reverse=True) and errors[0] > 0
    asked = houses.request("error", ids=tuple(one.sample_id for one in worst[:3]))
    waiting = houses.queue(purpose="error").samples
    assert {one.id for one in waiting} == {one.sample_id for one in worst[:3]}
    houses.withdraw(asked.batch)


def test_an_estimator_that_goes_on_begins_again_and_ends_as_the_same_model(lab, priced):
    forest = priced[1]
    before = forest.evaluation().model_copy(update={"baselines": ()})
    losses = forest.metrics(["val_loss"]).series[0].values
    record = train.wait(train.resume(lab, forest), TIMEOUT_S)
    assert record.status == "finished", record.error
    assert forest.evaluation().model_copy(update={"baselines": ()}) == before
    assert forest.metrics(["val_loss"]).series[0].values == losses


def test_suggested_numbers_lie_in_the_range_of_the_project(lab, houses, priced):
    assert suggest.suggest(lab, houses, priced[0].id).saved == 20
    numbers = houses.samples(status="unlabeled")["suggested"]
    assert numbers.is_between(0, 400_000).all()
    assert numbers.n_unique() > 10


def test_a_deployment_answers_with_a_number_and_explains_it(lab, houses, priced):
    manifest = export.export(lab, priced[0].id)
    assert (manifest.kind, manifest.task, manifest.parity.label_flips) == ("number", "tabular_regression", 0)
    assert manifest.unit == "USD"
    version = lab.register(priced[0].id, "kinds-prices")
    deployment = lab.deploy(f"{version.model}/{version.version}", "kinds-prices")
    try:
        rows = [{"area": 100, "town": "Rome"}, {"area": 50, "town": "Bonn"}]
        large, small = lab.predict("kinds-prices", rows)
        assert large.prediction == pytest.approx(250_000, abs=15_000)
        assert (large.probabilities, large.confidence) == ((), None)
        assert small.prediction == pytest.approx(100_000, abs=15_000)
        told = lab.predict("kinds-prices", rows[0], explain=True)
        assert told.explanation.base + sum(told.explanation.values) == pytest.approx(
            told.prediction, rel=1e-4
        )
        with pytest.raises(InvalidInput, match="predicts a number"):
            lab.predict("kinds-prices", rows[0], class_name="Rome")
        assert deployment.classes == ()
        assert houses.suggest(deployment="kinds-prices").saved == 20
    finally:
        lab.undeploy("kinds-prices")


def test_too_few_numbers_leave_no_run_and_no_snapshot(lab):
    project = lab.new_project("kinds few", "text_regression")
    project.import_frame(pl.DataFrame({"text": ["a", "b"], "stars": [1.0, 2.0]}), text="text", label="stars")
    with pytest.raises(InvalidData, match="at least 10 samples with a number"):
        train.start(lab, project)
    assert project.snapshots() == []


@pytest.fixture(scope="module")
def topics(lab):
    """Sentences about any of three topics, each by its word."""
    random = np.random.default_rng(0)
    names = np.array(["money", "sports", "weather"])
    chosen = random.random((320, 3)) < 0.4
    texts = [f"word{row % 20} also{row // 20} " + " ".join(names[has]) for row, has in enumerate(chosen)]
    labels = [None if row >= 300 else list(names[has]) for row, has in enumerate(chosen)]
    project = lab.new_project(
        "kinds topics",
        "text_classification",
        names.tolist(),
        multilabel=True,
        settings={"threshold": 0.5},
    )
    # By itself the split would follow from ids, and these from the tests before.
    splits = np.array(["test", "validation", *["train"] * 6])[np.arange(320) % 8]
    frame = pl.DataFrame(
        {"text": texts, "topics": labels, "split": splits}, schema_overrides={"topics": pl.List(pl.String)}
    )
    project.import_frame(frame, text="text", label="topics", split="split")
    options = {"epochs": 20, "learning_rate": 0.5, "weight_decay": 0.0}
    run = train.start(lab, project, "text-linear", options)
    record = train.wait(run, TIMEOUT_S)
    assert record.status == "finished", record.error
    return project, run, chosen


def test_a_deployment_answers_with_all_classes_that_apply(lab, topics):
    _, run, _ = topics
    found = run.evaluation()
    assert found.hamming_loss < 0.1 < 0.9 < found.micro_f1
    manifest = export.export(lab, run.id)
    assert (manifest.kind, len(manifest.thresholds)) == ("labels", 3)
    assert [one.threshold for one in found.per_class] == list(manifest.thresholds)
    version = lab.register(run.id, "kinds-topics")
    lab.deploy(f"{version.model}/{version.version}", "kinds-topics")
    try:
        both, none = lab.predict("kinds-topics", ["sports and money", "number 7"])
        assert (both.prediction, none.prediction) == (("money", "sports"), ())
        applies = [
            share >= limit for share, limit in zip(both.probabilities, manifest.thresholds, strict=True)
        ]
        assert applies == [True, True, False]
        assert 0 < both.confidence <= min(both.probabilities[:2])
        single = lab.new_project("kinds one topic", "text_classification", ["money", "sports", "weather"])
        single.import_frame(pl.DataFrame({"text": ["sports"]}), text="text")
        with pytest.raises(Conflict, match="several classes"):
            single.suggest(deployment="kinds-topics")
    finally:
        lab.undeploy("kinds-topics")


def test_suggested_sets_become_automatic_labels(lab, topics):
    project, run, chosen = topics
    saved = suggest.suggest(lab, project, run.id)
    assert (saved.saved, saved.auto) == (20, 20)
    found = project.samples(status="auto")
    truth = [
        [name for name, has in zip(("money", "sports", "weather"), row, strict=True) if has]
        for row in chosen[300:].tolist()
    ]
    right = [sorted(one) == wanted for one, wanted in zip(found["classes"].to_list(), truth, strict=True)]
    # Always the same set would be right for five of them.
    assert sum(right) >= 10


def test_the_threshold_of_a_class_is_where_its_f1_is_highest():
    random = np.random.default_rng(1)
    having = random.random((400, 2)) < (0.2, 0.5)
    # Both are told apart well, but the first at a logit of -2; of the third hardly any row is known.
    logits = np.where(having, 1.0, -1.0) * 2 + random.normal(0, 0.8, having.shape) - (2.0, 0.0)
    rare = np.zeros((400, 1), bool)
    rare[:3] = True
    targets = torch.from_numpy(np.hstack([having, rare]).astype(np.float32))
    scores = torch.from_numpy(np.hstack([logits, random.normal(size=(400, 1))]))
    low, half, unknown = SeveralClasses(classes=("a", "b", "c")).decided(scores, targets).thresholds
    assert 0.05 < low < 0.25
    assert 0.3 < half < 0.7
    assert unknown == 0.5
