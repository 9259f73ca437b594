"""Fits on real data, without a server."""

import _thread
import json
import math
import signal
import threading
import warnings

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from modelship_lab.learning.checkpoint import NAME, Checkpoint
from modelship_lab.learning.fit import fit
from modelship_lab.learning.hardware import choose
from modelship_lab.learning.split import split_rows
from modelship_lab.records.errors import Interrupted, InvalidData, InvalidInput, TrainingFailed
from modelship_lab.records.evaluation import Evaluation
from tests.learning.snapshots import (
    LocalSnapshot,
    Recorder,
    digits,
    encode_png,
    images_snapshot,
    reviews,
    several_classes,
    snapshot,
    table,
    texts,
)


def test_digits_are_read_after_a_few_epochs():
    run = Recorder()
    result = fit(run, digits(), "image-cnn", {"epochs": 8})
    assert result.evaluation.accuracy >= 0.97
    assert not result.stopped
    assert len(result.evaluation.per_class) == 10


@pytest.mark.parametrize(("name", "least"), [("breast_cancer", 0.95), ("wine", 0.92)])
def test_tables_are_learned(name, least):
    accuracies = [
        fit(Recorder(), table(name), "tabular-mlp", {"seed": seed}).evaluation.accuracy for seed in range(3)
    ]
    assert np.mean(accuracies) >= least


def test_a_network_learns_thresholds_of_a_table():
    values = np.random.default_rng(0).uniform(0, 60, 800)
    data = snapshot("tabular_classification", ["a", "b"], (values // 10 % 2).astype(int), {"value": values})
    accuracy = {
        bins: fit(Recorder(), data, "tabular-mlp", {"bins": bins, "epochs": 12}).evaluation.accuracy
        for bins in (0, 16)
    }
    assert accuracy[16] > 0.85
    assert accuracy[16] > accuracy[0]


def test_images_may_have_several_classes():
    data = digits(400)
    drawn = data.content.column("label").to_numpy()
    both = several_classes({"x": drawn}, np.stack([drawn % 2 == 0, drawn > 4], 1), ["even", "large"])
    images = data.content.set_column(1, "labels", both.content.column("labels"))
    info = data.info.model_copy(
        update={"multilabel": True, "classes": both.info.classes, "by_class": both.info.by_class}
    )
    options = {"epochs": 8, "width": 8, "mixup": 0.2}
    found = fit(Recorder(), LocalSnapshot(info, images, data.encoded), "image-cnn", options).evaluation
    assert found.macro_f1 > 0.8


@pytest.mark.slow
def test_texts_are_learned_as_well_as_by_tf_idf_and_logistic_regression():
    data = reviews()
    sentences = data.content.column("text").to_pylist()
    labels = data.content.column("label").to_numpy()
    ours, theirs = [], []
    for seed in range(3):
        ours.append(fit(Recorder(), data, "text-linear", {"seed": seed}).evaluation.accuracy)
        split = split_rows(labels, np.arange(1, len(labels) + 1), data.info.classes, (0.15, 0.15), seed)
        vectors = TfidfVectorizer(ngram_range=(1, 2))
        known = vectors.fit_transform([sentences[row] for row in split.train])
        peer = LogisticRegression(max_iter=1000).fit(known, labels[split.train])
        theirs.append(
            peer.score(vectors.transform([sentences[row] for row in split.test]), labels[split.test])
        )
    assert np.mean(ours) >= np.mean(theirs) - 0.01
    assert np.mean(ours) > 0.78


def test_what_is_logged_and_saved():
    run = Recorder()
    result = fit(run, digits(400), "image-cnn", {"epochs": 3, "batch_size": 64})
    assert [step for step, metrics in run.points if "val_loss" in metrics] == [4, 9, 14]
    assert [step for step, metrics in run.points if "train_loss" in metrics] == list(range(15))
    assert run.series("epoch") == [1, 2, 3]
    assert run.series("train_loss")[-1] < run.series("train_loss")[0]
    rates = run.series("learning_rate")
    assert rates[-1] < max(rates)
    assert all(value > 0 for value in run.series("samples_per_s"))
    progress = run.last("progress")
    assert [progress[step] for step in (4, 9, 14)] == pytest.approx([100 / 3, 200 / 3, 100])
    assert run.series("remaining_s")[-1] == 0
    for name in ("val_accuracy", "val_f1"):
        assert all(0 <= value <= 1 for value in run.series(name))
    assert run.params["batch_size"] == 64
    assert run.params["accelerator"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert Evaluation.model_validate_json(run.artifacts["evaluation.json"]) == result.evaluation
    assert json.loads(run.artifacts["evaluation.json"])["rows"] == result.summary["test_rows"]
    saved = Checkpoint.from_bytes(run.artifacts[NAME])
    assert all(torch.equal(saved.weights[name], result.checkpoint.weights[name]) for name in saved.weights)


def test_long_runs_log_a_bounded_number_of_points_with_the_mean_between_them(monkeypatch):
    from modelship_lab.learning import loop

    every, some = Recorder(), Recorder()
    options = {"epochs": 50, "batch_size": 32, "patience": 0}
    fit(every, table("wine"), "tabular-mlp", options)
    monkeypatch.setattr(loop, "POINTS", 20)
    fit(some, table("wine"), "tabular-mlp", options)
    assert len(every.series("train_loss")) == 200
    assert len(some.series("train_loss")) == 20
    assert some.series("train_loss")[0] == pytest.approx(np.mean(every.series("train_loss")[:10]), rel=1e-4)


def test_the_best_epoch_counts_not_the_last():
    run = Recorder()
    result = fit(run, reviews(400), "text-linear", {"epochs": 60, "patience": 4, "learning_rate": 0.3})
    losses = run.series("val_loss")
    best = int(np.argmin(losses))
    assert best < len(losses) - 1 < 59
    assert len(losses) == best + 1 + 4
    assert result.summary["best_epoch"] == best + 1
    assert result.summary["val_loss"] == pytest.approx(min(losses))
    assert result.checkpoint.figures["val_loss"] == pytest.approx(min(losses))


def test_the_same_seed_gives_the_same_model_and_leaves_torchs_random_numbers_alone():
    before = torch.get_rng_state()
    first, second, other = (
        fit(Recorder(), digits(300), "image-cnn", {"epochs": 2, "seed": seed}).checkpoint.weights
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)


def rare_class():
    """Breast cancer with one malignant row in twenty."""
    data = table("breast_cancer").content
    labels = data.column("label").to_numpy()
    kept = np.sort(np.concatenate([np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)[:20]]))
    random = np.random.default_rng(0)
    # Two weak features only, so that the classes overlap.
    columns = {
        name: data.column(name).to_numpy()[kept] + random.normal(0, spread, len(kept))
        for name, spread in (("mean texture", 3.0), ("mean smoothness", 0.01))
    }
    return snapshot("tabular_classification", ["malignant", "benign"], labels[kept], columns)


def test_class_weights_find_more_of_a_rare_class():
    recall = {}
    for weights in ("balanced", "none"):
        options = {"class_weights": weights, "layers": 0, "holdout": 0.3}
        recall[weights] = fit(Recorder(), rare_class(), "tabular-mlp", options).evaluation.per_class[0].recall
    assert recall["balanced"] > recall["none"]


def test_a_stop_ends_training_at_the_next_step_with_a_checkpoint():
    run, stop = Recorder(), threading.Event()
    steps = []

    def watch(progress):
        if progress.stage == "training":
            steps.append(progress.step)
            if progress.step == 7:
                stop.set()

    result = fit(run, digits(300), "image-cnn", {"epochs": 500, "batch_size": 16}, stop, watch)
    assert result.stopped
    assert steps[-1] == 7
    assert Checkpoint.from_bytes(run.artifacts[NAME]).network() is not None
    assert result.evaluation.rows > 0


def test_an_interrupt_of_the_main_thread_is_a_clean_stop():
    steps = []

    def watch(progress):
        steps.append(progress.step)
        if progress.step == 7:
            _thread.interrupt_main()

    run = Recorder()
    before = signal.getsignal(signal.SIGINT)
    # A shell's background process ignores it.
    signal.signal(signal.SIGINT, handler := signal.default_int_handler)
    try:
        result = fit(run, table("wine"), "tabular-mlp", {"epochs": 10_000, "patience": 0}, on_progress=watch)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.stopped
    assert max(steps) < 40_000
    assert NAME in run.artifacts


def test_a_stop_before_training_is_an_interruption():
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        fit(Recorder(), digits(100), "image-cnn", {}, stop)


def test_a_fit_runs_in_a_thread_beside_others():
    results = {}

    def work(seed):
        results[seed] = fit(Recorder(), table("wine"), "tabular-mlp", {"seed": seed, "epochs": 20})

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == [0, 1, 2]


def test_nothing_is_printed_or_warned(capfd, caplog):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        fit(Recorder(), table("wine"), "tabular-mlp", {"epochs": 2})
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert [record for record in caplog.records if "lightning" in record.name] == []
    assert [str(warning.message) for warning in caught if "lightning" in warning.filename] == []


def test_a_loss_that_is_no_number_fails_with_what_to_do():
    # Decay by a hundred times the weight in every step.
    options = {"learning_rate": 10, "weight_decay": 10, "batch_size": 4, "layers": 0, "epochs": 2}
    with pytest.raises(TrainingFailed, match="smaller learning_rate"):
        fit(Recorder(), table("breast_cancer"), "tabular-mlp", options)


@pytest.mark.parametrize("labels", [[], [0] * 20, [0] * 20 + [1]])
def test_too_few_labels_are_refused(labels):
    data = texts([f"text {row}" for row in range(len(labels))], labels, ["ham", "spam"])
    with pytest.raises(InvalidData, match=r"[Ll]abel"):
        fit(Recorder(), data, "text-linear")


def test_three_labels_of_each_class_are_enough():
    data = texts(
        ["good", "nice good", "good fun", "bad", "bad thing", "so bad"], [1, 1, 1, 0, 0, 0], ["n", "p"]
    )
    assert fit(Recorder(), data, "text-linear", {"epochs": 3}).evaluation.rows == 2


def test_more_classes_than_direct_scores():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(70), 12)
    sentences = [f"topic{label} word{random.integers(20)} word{random.integers(20)}" for label in labels]
    data = texts(sentences, labels, [f"class {label}" for label in range(70)])
    result = fit(Recorder(), data, "text-linear", {"epochs": 30, "buckets": 4096})
    assert result.checkpoint.weights["tokens.weight"].shape == (4096, 64)
    assert result.evaluation.accuracy > 0.9


def test_a_class_without_any_label_is_no_obstacle():
    data = texts(["good fun"] * 20 + ["bad taste"] * 20, [0] * 20 + [1] * 20, ["good", "bad", "never"])
    result = fit(Recorder(), data, "text-linear", {"epochs": 5})
    assert result.evaluation.accuracy == 1
    assert len(result.evaluation.confusion) == 3
    assert math.isfinite(result.evaluation.log_loss)


def test_an_unreadable_image_is_named():
    images = [encode_png(np.full((8, 8), shade, np.uint8)) for shade in range(30)]
    images[17] = b"\x89PNG broken"
    data = images_snapshot(images, [0, 1] * 15, ["a", "b"])
    with pytest.raises(InvalidData, match=r"[Ss]ample 18"):
        fit(Recorder(), data, "image-cnn", {"epochs": 1})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "16-mixed"), ((8, 0), "bf16-mixed")])
def test_fp16_is_what_the_gpu_is_made_for(monkeypatch, capability, precision):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: capability)
    assert choose("auto", "16").precision == precision


def test_fp16_without_a_gpu_is_32_bits_and_says_so(caplog):
    log = Recorder()
    fit(log, table("wine"), "tabular-mlp", {"precision": "16", "epochs": 1, "accelerator": "cpu"})
    assert log.params["precision"] == "32" and "for GPUs" in caplog.text


def test_hardware_that_is_not_there_is_refused():
    with pytest.raises(InvalidInput, match="no cuda device"):
        fit(Recorder(), table("wine"), "tabular-mlp", {"accelerator": "cuda"})
