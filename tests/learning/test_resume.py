"""A training that goes on from its state ends with the weights of one that was never interrupted."""

import subprocess
import sys
import threading

import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.precision import MixedPrecision

from modelship_lab.learning.checkpoint import NAME
from modelship_lab.learning.fit import fit
from modelship_lab.learning.train import STATE
from modelship_lab.learning.training_state import TrainingState
from modelship_lab.records.errors import InvalidData, TrainingFailed
from tests.learning.snapshots import Recorder, table

# With dropout: the random numbers must go on, too.
OPTIONS = {"epochs": 4, "batch_size": 16, "dropout": 0.3, "width": 16, "checkpoint_every_s": 0}

KILLED = """
import os, signal, sys
from pathlib import Path
from modelship_lab.learning.fit import fit
from modelship_lab.learning.train import STATE
from tests.learning.snapshots import Recorder, table
from tests.learning.test_resume import OPTIONS

class OnDisk(Recorder):
    def save_artifact(self, name, content, content_type=None):
        unfinished = folder / ("." + name)
        unfinished.write_bytes(content)
        unfinished.rename(folder / name)

def die(progress):
    # In the middle of an epoch, with the state of the one before.
    if progress.step % 8 == 5 and (folder / STATE).exists():
        os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
fit(OnDisk(), table("wine"), "tabular-mlp", OPTIONS, on_progress=die)
"""


@pytest.fixture(scope="module")
def uninterrupted():
    return fit(Recorder(), table("wine"), "tabular-mlp", OPTIONS)


def check_same(result, uninterrupted):
    weights = uninterrupted.checkpoint.weights
    assert all(torch.equal(result.checkpoint.weights[name], weights[name]) for name in weights)
    assert result.checkpoint.objective == uninterrupted.checkpoint.objective
    # How long the simpler models took is never the same.
    found, wanted = (one.evaluation.model_copy(update={"baselines": ()}) for one in (result, uninterrupted))
    assert found == wanted
    assert result.summary["epochs"] == 4


@pytest.mark.parametrize("step", [3, 8, 13])
def test_a_training_that_was_stopped_goes_on_exactly(uninterrupted, step):
    run, stop = Recorder(), threading.Event()
    stopped = fit(
        run,
        table("wine"),
        "tabular-mlp",
        OPTIONS,
        stop,
        lambda progress: progress.step == step and stop.set(),
    )
    assert stopped.stopped
    again = Recorder()
    state = TrainingState.from_bytes(run.artifacts[STATE])
    assert state.step == step
    check_same(fit(again, table("wine"), "tabular-mlp", OPTIONS, resume=state), uninterrupted)
    assert min(again.last("train_loss")) == step


def test_the_scale_of_gradients_of_16_bits_is_part_of_the_state(monkeypatch):
    class Halves(Fabric):
        """Lightning does not offer 16 bits without a GPU; torch can."""

        def __init__(self, *, plugins, precision, **settings):
            halves = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", growth_interval=3))
            super().__init__(plugins=[*plugins, halves], **settings)

    monkeypatch.setattr("modelship_lab.learning.fit.Fabric", Halves)
    run, stop = Recorder(), threading.Event()
    arguments = table("wine"), "tabular-mlp", OPTIONS
    whole = fit(Recorder(), *arguments)
    assert whole.summary["val_accuracy"] > 0.8
    fit(run, *arguments, stop, lambda progress: progress.step == 13 and stop.set())
    state = TrainingState.from_bytes(run.artifacts[STATE])
    # It has grown every third step that did not overflow.
    assert state.scaler["scale"] > 2**16
    check_same(fit(Recorder(), *arguments, resume=state), whole)


def test_a_training_that_was_killed_goes_on_exactly(uninterrupted, tmp_path):
    died = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=250, check=False)
    assert died.returncode == -9
    state = TrainingState.from_bytes((tmp_path / STATE).read_bytes())
    assert 0 < state.epoch < 4
    check_same(fit(Recorder(), table("wine"), "tabular-mlp", OPTIONS, resume=state), uninterrupted)


def test_checkpoints_lie_in_the_folder_that_is_given(uninterrupted, tmp_path):
    """One of each epoch, however short that is, of which the newest are kept; from each training goes on."""
    options = {**OPTIONS, "checkpoint_every_s": 30}
    check_same(fit(Recorder(), table("wine"), "tabular-mlp", options, output=tmp_path), uninterrupted)
    assert {folder.name for folder in tmp_path.iterdir()} == {f"checkpoint-{epoch}" for epoch in (2, 3, 4)}
    for folder in tmp_path.iterdir():
        assert {file.name for file in folder.iterdir()} == {NAME, STATE}
    state = TrainingState.from_bytes((tmp_path / "checkpoint-2" / STATE).read_bytes())
    assert state.epoch == 2
    check_same(fit(Recorder(), table("wine"), "tabular-mlp", options, resume=state), uninterrupted)


def test_what_goes_wrong_leaves_the_checkpoint_before_it(monkeypatch, tmp_path):
    """With its state: a training goes on from there, e.g. with another learning rate."""
    from modelship_lab.learning.recipes.tabular_mlp import TabularMlp

    loss = TabularMlp.loss

    def breaking(self, *given):
        return loss(self, *given) * (float("nan") if (tmp_path / "checkpoint-2").is_dir() else 1)

    monkeypatch.setattr(TabularMlp, "loss", breaking)
    run = Recorder()
    with pytest.raises(TrainingFailed, match="not a number"):
        fit(run, table("wine"), "tabular-mlp", OPTIONS | {"checkpoint_every_s": 30}, output=tmp_path)
    assert NAME in run.artifacts
    newest = max(tmp_path.iterdir(), key=lambda folder: folder.name)
    assert {file.name for file in newest.iterdir()} == {NAME, STATE}


def test_what_is_no_state_says_so():
    with pytest.raises(InvalidData, match="training state"):
        TrainingState.from_bytes(b"nothing")


def test_memory_that_ran_out_halves_the_batches_and_says_so(monkeypatch):
    from modelship_lab.learning.recipes.tabular_mlp import TabularMlp

    loss = TabularMlp.loss

    def hungry(self, inputs, targets, criterion):
        if len(targets) > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(self, inputs, targets, criterion)

    monkeypatch.setattr(TabularMlp, "loss", hungry)
    run = Recorder()
    result = fit(run, table("wine"), "tabular-mlp", {**OPTIONS, "batch_size": 20})
    assert run.params["accumulate"] == 4
    assert "in 4 parts" in run.params["out_of_memory"]
    assert result.evaluation.accuracy > 0.5
    monkeypatch.setattr(TabularMlp, "loss", lambda self, *given: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(TrainingFailed, match=r"[Mm]emory ran out"):
        fit(Recorder(), table("wine"), "tabular-mlp", OPTIONS)


def test_accumulated_gradients_are_those_of_the_whole_batch():
    options = {"epochs": 2, "layers": 0, "dropout": 0, "class_weights": "none"}
    whole = fit(Recorder(), table("wine"), "tabular-mlp", {**options, "batch_size": 32})
    parts = fit(Recorder(), table("wine"), "tabular-mlp", {**options, "batch_size": 8, "accumulate": 4})
    for name, weights in whole.checkpoint.weights.items():
        assert torch.allclose(weights, parts.checkpoint.weights[name], atol=1e-5)


def test_a_failed_training_keeps_its_best_weights():
    run = Recorder()
    data = table("wine")

    def fall_over(progress):
        if progress.epoch == 3:
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        fit(run, data, "tabular-mlp", OPTIONS, on_progress=fall_over)
    assert NAME in run.artifacts


def test_a_time_budget_ends_training_with_the_best_weights():
    run = Recorder()
    options = {"epochs": 1000, "patience": 0, "time_budget_s": 0.5}
    result = fit(run, table("wine"), "tabular-mlp", options)
    assert 0.5 <= result.summary["train_seconds"] < 5
    assert not result.stopped
    assert run.series("learning_rate")[-1] < 0.2 * max(run.series("learning_rate"))
    assert result.summary["val_loss"] == pytest.approx(min(run.series("val_loss")))


def test_a_learning_rate_is_found_and_the_trial_leaves_nothing_behind():
    run = Recorder()
    result = fit(run, table("breast_cancer"), "tabular-mlp", {"epochs": 8, "learning_rate": "auto"})
    rate = run.params["found_learning_rate"]
    assert 1e-5 < rate < 1
    assert len(run.series("finder_loss")) > 20
    assert max(run.series("learning_rate")) == pytest.approx(rate)
    assert result.evaluation.accuracy > 0.9
    given = fit(Recorder(), table("breast_cancer"), "tabular-mlp", {"epochs": 8, "learning_rate": rate})
    weights = given.checkpoint.weights
    assert all(torch.equal(result.checkpoint.weights[name], weights[name]) for name in weights)


def test_rare_classes_can_be_drawn_more_often():
    from tests.learning.test_fit import rare_class

    recall = {}
    for weights in ("sampled", "none"):
        options = {"class_weights": weights, "layers": 0, "holdout": 0.3, "epochs": 30}
        recall[weights] = fit(Recorder(), rare_class(), "tabular-mlp", options).evaluation.per_class[0].recall
    assert recall["sampled"] > recall["none"]
