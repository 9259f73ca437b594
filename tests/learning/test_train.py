"""Training, suggesting and exporting through a real lab server."""

import threading
import time

import polars as pl
import pytest
import torch

from modelship_lab import client
from modelship_lab.bundles.pack import from_tar
from modelship_lab.bundles.run import BundleModel
from modelship_lab.learning import export, suggest, train
from modelship_lab.learning.checkpoint import Checkpoint
from modelship_lab.records.errors import Conflict, InvalidData, InvalidInput
from tests.learning.snapshots import digits, reviews, table

TIMEOUT_S = 90


@pytest.fixture(scope="module")
def lab(lab_server, tmp_path_factory):
    return client.connect(lab_server.url, lab_server.token, data_dir=tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def texts(lab):
    """A project with 1500 labeled reviews and 200 unlabeled ones."""
    content = pl.from_arrow(reviews(1700).content)
    project = lab.new_project("train texts", "text_classification", ["negative", "positive"])
    labels = pl.when(pl.int_range(pl.len()) < 1500).then(
        pl.col("label").replace_strict({0: "negative", 1: "positive"}, return_dtype=pl.String)
    )
    project.import_frame(content.select("text", label=labels), text="text", label="label")
    return project


@pytest.fixture(scope="module")
def trained(lab, texts):
    run = train.start(lab, texts, "text-linear", {"epochs": 12}, name="baseline", tags=["first"])
    record = train.wait(run, TIMEOUT_S)
    assert record.status == "finished", record.error
    return run


def test_start_returns_at_once_and_the_run_knows_what_it_is_made_of(lab, texts, trained):
    record = trained.refresh()
    assert (record.name, record.recipe, record.tags) == ("baseline", "text-linear", ("first",))
    assert record.params["epochs"] == 12
    assert record.params["max_ngram"] == 2
    assert record.params["batch_size"] == 32
    assert record.environment["packages"]["torch"]
    assert lab.snapshot(record.snapshot_id).info.project_id == texts.id
    assert record.summary["test_accuracy"] > 0.6
    assert record.summary["test_accuracy"] == pytest.approx(trained.evaluation().accuracy)
    frame = trained.metrics_frame(["train_loss"])
    assert frame["step"].to_list() == list(range(len(frame)))
    assert frame["value"][-1] < frame["value"][0]


def test_the_worst_errors_are_samples_of_the_project(texts, trained):
    worst = trained.evaluation().worst[0]
    sample = texts.sample(worst.sample_id)
    assert sample.text[:200] == worst.preview
    assert sample.label == worst.actual != worst.predicted


def test_suggestions_for_what_is_unlabeled(lab, texts, trained):
    assert suggest.suggest(lab, texts.name, trained.id).saved == 200
    queue = texts.queue(order="uncertainty", limit=50)
    # Some come whatever the model says.
    suggestions = [sample.suggestion for sample in queue.samples if sample.reason != "random reserve"]
    assert 40 <= len(suggestions) < 50
    assert {suggestion.source for suggestion in suggestions} == {f"run:{trained.id}"}
    unsure = [suggestion.uncertainty for suggestion in suggestions]
    assert unsure == sorted(unsure, reverse=True)
    assert all(suggestion.confidence >= 0.5 for suggestion in suggestions)


def test_an_exported_bundle_answers(lab, trained, tmp_path):
    manifest = export.export(lab, trained.id)
    assert manifest.lineage.run_id == trained.id
    assert manifest.lineage.project == "train texts"
    assert manifest.metrics["test_accuracy"] == pytest.approx(trained.evaluation().accuracy)
    with trained.download_bundle(tmp_path / "bundle.tar").open("rb") as file:
        from_tar(file, tmp_path / "bundle")
    answers = BundleModel(tmp_path / "bundle").predict(["great food, I love it", "bad, a waste of money"])
    assert [answer.prediction for answer in answers] == ["positive", "negative"]
    assert trained.refresh().bundle


def test_other_formats_are_refused(trained):
    with pytest.raises(InvalidInput, match="onnx, torchscript, triton or both"):
        trained.export("pickle")


def test_images_from_import_to_bundle(lab):
    data = digits(500)
    names = [str(label) for label in data.content.column("label").to_pylist()]
    frame = pl.DataFrame(
        {
            "image": [data.encoded[digest] for digest in data.content.column("image").to_pylist()],
            "label": [name if place < 450 else None for place, name in enumerate(names)],
        }
    )
    project = lab.new_project("train digits", "image_classification", [str(digit) for digit in range(10)])
    project.import_frame(frame, image="image", label="label")
    run = train.start(lab, project, options={"epochs": 12})
    record = train.wait(run, TIMEOUT_S)
    assert (record.status, record.recipe) == ("finished", "image-cnn")
    assert record.summary["test_accuracy"] > 0.8
    assert export.export(lab, run.id).parity.label_flips == 0
    assert suggest.suggest(lab, project, run.id).saved == 50
    # In the order of import, so the truth is known.
    suggested = [sample.suggestion.label for sample in project.queue(order="sequential", limit=50).samples]
    assert sum(map(str.__eq__, suggested, names[450:])) > 35


def test_rows_from_import_to_bundle(lab):
    frame = pl.from_arrow(table("wine").content.drop_columns(["sample_id", "source"]))
    frame = frame.with_columns(label=pl.format("class {}", pl.col("label")))
    frame = frame.with_columns(label=pl.when(pl.int_range(pl.len()) % 10 > 0).then("label"))
    project = lab.new_project("train wine", "tabular_classification", ["class 0", "class 1", "class 2"])
    project.import_frame(frame, label="label")
    run = train.start(lab, project)
    record = train.wait(run, TIMEOUT_S)
    assert record.status == "finished", record.error
    assert record.summary["test_accuracy"] > 0.8
    assert export.export(lab, run.id).parity.label_flips == 0
    assert suggest.suggest(lab, project, run.id).saved == 18


def test_a_stop_ends_the_run_cleanly_with_a_model(lab, texts):
    run = train.start(lab, texts, options={"epochs": 10_000, "patience": 0})
    deadline = time.monotonic() + TIMEOUT_S
    while not run.metrics(["val_loss"]).series and time.monotonic() < deadline:
        time.sleep(0.05)
    # As another process would ask: by the server.
    lab.request("POST", f"runs/{run.id}/stop")
    record = train.wait(run, TIMEOUT_S)
    assert record.status == "stopped"
    assert record.summary["test_accuracy"] > 0.4
    assert export.export(lab, run.id).lineage.run_id == run.id


def test_an_interrupt_while_waiting_stops_the_run(lab, texts, monkeypatch):
    run = train.start(lab, texts, options={"epochs": 10_000, "patience": 0})
    wait, calls = run.wait, []

    def interrupted(timeout_s=None):
        calls.append(timeout_s)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return wait(timeout_s)

    monkeypatch.setattr(run, "wait", interrupted)
    assert train.wait(run).status == "stopped"


def test_what_goes_wrong_in_training_marks_the_run_failed(lab, texts):
    def broken(progress):
        raise ZeroDivisionError("a mistake in a callback")

    run = train.start(lab, texts, on_progress=broken)
    record = train.wait(run, TIMEOUT_S)
    assert record.status == "failed"
    assert "ZeroDivisionError: a mistake in a callback" in record.error
    assert "\n" not in record.error
    assert "broken" in run.artifact("traceback.txt").decode()
    with pytest.raises(Conflict, match="no trained model"):
        export.export(lab, run.id)


def test_refusals_leave_no_run_and_no_snapshot(lab):
    project = lab.new_project("train nothing", "text_classification", ["ham", "spam"])
    with pytest.raises(InvalidData, match="no labels"):
        train.start(lab, project)
    project.import_frame(
        pl.DataFrame({"text": [f"mail {number}" for number in range(9)], "label": ["ham"] * 9}),
        text="text",
        label="label",
    )
    with pytest.raises(InvalidData, match="ham 9, spam 0"):
        train.start(lab, project)
    with pytest.raises(InvalidInput, match="text-linear"):
        train.start(lab, project, "image-cnn")
    with pytest.raises(InvalidInput, match="epochs"):
        train.start(lab, project, options={"epochs": -1})
    assert project.snapshots() == []
    assert lab.run_records(project.name) == []


def test_a_model_of_another_project_is_refused(lab, trained):
    project = lab.new_project("train other classes", "text_classification", ["ham", "spam"])
    with pytest.raises(Conflict, match="negative, positive"):
        suggest.suggest(lab, project, trained.id)
    other = lab.new_project("train another task", "tabular_classification", ["negative", "positive"])
    with pytest.raises(Conflict, match="tabular_classification"):
        suggest.suggest(lab, other, trained.id)


def test_the_same_snapshot_can_be_trained_on_again(lab, texts, trained):
    run = train.start(lab, texts, options={"epochs": 12}, snapshot=trained.record.snapshot_id)
    again = train.wait(run, TIMEOUT_S)
    assert again.snapshot_id == trained.record.snapshot_id
    assert again.summary["test_log_loss"] == trained.refresh().summary["test_log_loss"]
    with pytest.raises(InvalidInput, match="another project"):
        train.start(lab, "train wine", snapshot=trained.record.snapshot_id)


@pytest.fixture(scope="module")
def folded(lab, texts, trained):
    options = {"epochs": 2, "folds": 2, "buckets": 4096, "seed": 1}
    run = train.start(lab, texts, "text-linear", options, snapshot=trained.record.snapshot_id)
    record = train.wait(run, TIMEOUT_S)
    assert record.status == "finished", record.error
    return run


def test_folds_are_nested_runs_and_their_mean_is_the_runs_figure(lab, texts, folded):
    figures = folded.refresh().summary
    children = [run for run in lab.run_records(texts.id) if run.parent_id == folded.id]
    assert [run.status for run in children] == ["finished"] * 2
    assert {run.params["fold"] for run in children} == {1, 2}
    accuracies = [run.summary["test_accuracy"] for run in children]
    assert figures["cv_accuracy"] == pytest.approx(sum(accuracies) / 2)
    assert figures["cv_accuracy_spread"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2**0.5)
    assert (
        sum(run.summary["test_rows"] for run in children) == lab.snapshot(folded.record.snapshot_id).info.rows
    )


def test_two_runs_are_judged_on_the_samples_that_were_held_out_in_both(lab, trained, folded):
    comparison = lab.compare([trained.id, folded.id])
    (found,) = comparison.significance()
    # Another seed holds out other samples: a few are the same by chance.
    assert 0 < found.rows < 100
    assert found.only_run > 100
    assert found.low <= found.difference <= found.high
    assert 0 < found.p_value <= 1
    from modelship_lab.commands.description import describe

    assert any("On the same held-out samples" in grid.title for grid in describe(comparison).grids)


def test_a_run_that_was_stopped_goes_on_to_the_model_it_would_have_become(lab, texts, trained):
    begun = threading.Event()
    run = train.start(
        lab,
        texts,
        "text-linear",
        {"epochs": 12},
        snapshot=trained.record.snapshot_id,
        on_progress=lambda progress: progress.step == 50 and begun.wait(TIMEOUT_S) and run.stop(),
    )
    begun.set()
    assert train.wait(run, TIMEOUT_S).status == "stopped"
    resumed = train.resume(lab, run)
    assert resumed.id == run.id
    assert train.wait(resumed, TIMEOUT_S).status == "finished"
    weights, expected = (Checkpoint.of_run(one).weights for one in (resumed, trained))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    with pytest.raises(InvalidInput, match="not trained by a recipe"):
        train.resume(lab, lab.start_run("by hand").id)
