"""Sweeps of a recipe's options, through a real lab server."""

import polars as pl
import pytest

from modelship_lab import client
from modelship_lab.learning import sweep
from modelship_lab.records.errors import InvalidInput
from tests.learning.snapshots import reviews


@pytest.fixture(scope="module")
def lab(lab_server, tmp_path_factory):
    return client.connect(lab_server.url, lab_server.token, data_dir=tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def texts(lab):
    content = pl.from_arrow(reviews(300).content)
    project = lab.new_project("sweep texts", "text_classification", ["negative", "positive"])
    labels = pl.col("label").replace_strict({0: "negative", 1: "positive"}, return_dtype=pl.String)
    project.import_frame(content.select("text", label=labels), text="text", label="label")
    return project


def test_a_recipe_is_swept_on_one_snapshot(lab, texts):
    found = sweep.start(
        lab,
        texts,
        "text-linear",
        {"learning_rate": lab.loguniform(1e-4, 0.1), "max_ngram": lab.uniform(1, 2), "epochs": 2},
        metric="val_accuracy",
        trials=3,
        seed=0,
    )
    assert found.is_running
    found.wait(90)
    report = found.report()
    assert report.run.status == "finished", report.run.error
    assert report.is_max
    assert [one.status for one in report.trials] == ["finished"] * 3
    assert {one.snapshot_id for one in (report.run, *report.trials)} == {report.run.snapshot_id}
    assert {(one.project, one.recipe, one.group) for one in report.trials} == {
        ("sweep texts", "text-linear", "text-linear sweep")
    }
    # The option is a whole number, so it was drawn as one.
    assert {type(one.params["max_ngram"]) for one in report.trials} == {int}
    assert report.trials[0].params["epochs"] == 2
    assert found.best_value == max(one.summary["val_accuracy"] for one in report.trials)
    # The trials are runs like others: their models can be exported.
    assert found.best.evaluation().rows > 0


def test_what_the_recipe_does_not_take_is_refused(lab, texts):
    for space, said in (
        ({"rate": [0.1]}, "no such option"),
        ({"learning_rate": lab.uniform(-1, 1)}, "learning_rate"),
        ({"epochs": [1, 0]}, "epochs"),
    ):
        with pytest.raises(InvalidInput, match=said):
            sweep.start(lab, texts, "text-linear", space, trials=2)
    with pytest.raises(InvalidInput, match="swept by val_loss"):
        sweep.start(lab, texts, "text-linear", {"epochs": [1]}, metric="test_accuracy")
