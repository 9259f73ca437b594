"""One's own LightningModule, trained as a run."""

import io
import json
import threading

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from modelship_lab import client
from modelship_lab.learning import own_module, train
from modelship_lab.learning.checkpoint import NAME, Checkpoint
from modelship_lab.learning.own_module import MODEL, SIGNATURE, OwnModuleOptions, fit_module, made_of
from modelship_lab.learning.train import STATE
from modelship_lab.records.errors import Conflict, InvalidData, InvalidInput, TrainingFailed
from modelship_lab.records.evaluation import Evaluation
from tests.learning.snapshots import Recorder, table

TIMEOUT_S = 90


class Lines(LightningModule):
    """A linear model of whatever has so many columns."""

    def __init__(self, columns=4, classes=2, rate=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.output = nn.Linear(columns, classes)

    def forward(self, numbers):
        return self.output(numbers)

    def training_step(self, batch, place):
        numbers, labels = batch
        return nn.functional.cross_entropy(self(numbers), labels)

    def validation_step(self, batch, place):
        numbers, labels = batch
        self.log("val_loss", nn.functional.cross_entropy(self(numbers), labels))

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), self.hparams.rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
        }


class Cells(LightningDataModule):
    """The first four columns of a snapshot's table; every fifth row is kept apart."""

    def __init__(self, snapshot, columns=4):
        super().__init__()
        content = snapshot.table()
        numbers = np.stack([content.column(name).to_numpy() for name in snapshot.info.features[:columns]], 1)
        numbers = (numbers - numbers.mean(0)) / numbers.std(0)
        labels = content.column("label").to_numpy().astype(np.int64)
        held = np.arange(len(labels)) % 5 == 0
        self.training, self.held = (
            TensorDataset(torch.tensor(numbers[rows], dtype=torch.float32), torch.tensor(labels[rows]))
            for rows in (~held, held)
        )

    def train_dataloader(self):
        return DataLoader(self.training, 64, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.held, 256)


@pytest.fixture(scope="module")
def data():
    return table("breast_cancer")


def fitted(data, module, run=None, stop=None, state=None, cells=None, **options):
    run = run or Recorder()
    figures = fit_module(
        run, data, module, cells or Cells(data), OwnModuleOptions(**options), stop or threading.Event(), state
    )
    return run, figures


@pytest.fixture(scope="module")
def trained(data):
    return fitted(data, Lines(), epochs=4)


def test_it_is_tracked_evaluated_and_keeps_its_best_weights(data, trained):
    run, figures = trained
    assert run.series("train_loss")[-1] < run.series("train_loss")[0]
    assert len(run.series("val_loss")) == 4
    assert run.series("progress")[-1] == 100
    found = Evaluation.model_validate_json(run.artifacts["evaluation.json"])
    assert found.rows == 114
    assert found.accuracy == figures["test_accuracy"] > 0.85
    best = Lines.load_from_checkpoint(io.BytesIO(run.artifacts[NAME]), weights_only=True)
    numbers, labels = Cells(data).held[:]
    with torch.inference_mode():
        loss = float(nn.functional.cross_entropy(best(numbers), labels))
    assert loss == pytest.approx(figures["val_loss"], abs=1e-5)
    assert figures["val_loss"] == pytest.approx(min(run.series("val_loss")))


def test_its_onnx_says_what_it_takes_and_the_same_for_any_number_of_rows(data, trained):
    run, _ = trained
    signature = json.loads(run.artifacts[SIGNATURE])
    assert signature["inputs"] == [{"name": "numbers", "type": "tensor(float)", "shape": ["rows", 4]}]
    assert signature["outputs"] == [{"name": "outputs", "type": "tensor(float)", "shape": ["rows", 2]}]
    session = onnxruntime.InferenceSession(run.artifacts[MODEL])
    best = Lines.load_from_checkpoint(io.BytesIO(run.artifacts[NAME]), weights_only=True).eval()
    for rows in (1, 3, 50):
        numbers = torch.randn(rows, 4)
        with torch.inference_mode():
            expected = best(numbers).numpy()
        assert np.allclose(session.run(None, {"numbers": numbers.numpy()})[0], expected, atol=1e-5)


def test_a_recipe_does_not_take_its_checkpoint_for_its_own(trained):
    with pytest.raises(InvalidData, match="load_from_checkpoint"):
        Checkpoint.from_bytes(trained[0].artifacts[NAME])


def test_going_on_ends_with_the_weights_of_an_uninterrupted_training(data):
    torch.manual_seed(3)
    whole, parts = Lines(), Lines()
    parts.load_state_dict(whole.state_dict())
    cells = Cells(data)
    cells.train_dataloader = lambda: DataLoader(cells.training, 64)
    fitted(data, whole, cells=cells, epochs=4, monitor="none")
    first, _ = fitted(data, parts, cells=cells, epochs=2, monitor="none")
    going_on = Lines()
    run, _ = fitted(data, going_on, cells=cells, epochs=4, monitor="none", state=first.artifacts[STATE])
    assert len(run.series("val_loss")) == 2
    assert all(
        torch.equal(one, other) for one, other in zip(whole.parameters(), going_on.parameters(), strict=True)
    )


def test_a_state_of_another_module_is_refused(data, trained):
    with pytest.raises(TrainingFailed, match="another module"):
        fitted(data, Lines(3), cells=Cells(data, 3), epochs=6, state=trained[0].artifacts[STATE])


def test_a_stop_ends_it_after_the_step_with_a_checkpoint(data):
    stop = threading.Event()

    class Stopping(Lines):
        def training_step(self, batch, place):
            if self.global_step == 9:
                stop.set()
            return super().training_step(batch, place)

    run, _ = fitted(data, Stopping(), stop=stop, epochs=1000)
    assert max(run.last("train_loss")) == 9
    assert {NAME, STATE, MODEL} <= set(run.artifacts)


def test_a_loss_that_is_no_number_fails_with_what_to_do_and_keeps_what_was_good(data):
    class Exploding(Lines):
        def training_step(self, batch, place):
            return super().training_step(batch, place) * (float("nan") if self.current_epoch == 1 else 1)

    run = Recorder()
    with pytest.raises(TrainingFailed, match="not a number"):
        fitted(data, Exploding(), run=run, epochs=3)
    assert STATE in run.artifacts


class Odd(Lines):
    """No logits of the classes, and nothing that torch can export."""

    def forward(self, numbers):
        return self.output(numbers).sum(1) if numbers.sum() > 0 else self.output(numbers)[:, 0]


class OddSteps(Odd):
    def training_step(self, batch, place):
        return nn.functional.mse_loss(self(batch[0]), batch[1].float())

    def validation_step(self, batch, place):
        self.log("val_loss", nn.functional.mse_loss(self(batch[0]), batch[1].float()))


def test_what_cannot_be_evaluated_or_exported_is_said_and_no_failure(data):
    run, figures = fitted(data, OddSteps(), epochs=1)
    assert "val_loss" in figures and "test_accuracy" not in figures
    assert "logits of 2 classes" in run.params["evaluation"]
    assert run.params["onnx"].startswith("none: torch cannot export")
    assert NAME in run.artifacts and MODEL not in run.artifacts


@pytest.mark.parametrize(
    ("module", "datamodule", "words"),
    [
        (3, None, "not int"),
        (nn.Linear(1, 1), None, "not Linear"),
        (Lines(), None, "nothing to train on"),
        (Lines(), [1], "not list"),
        (lambda one, two: None, None, "needs one, two"),
        (Cells, None, "needs snapshot"),
    ],
)
def test_what_is_no_module_or_has_no_data_is_refused(data, module, datamodule, words):
    with pytest.raises(InvalidInput, match=words):
        made_of(module, datamodule, data)


def test_functions_make_modules_and_data(data):
    made, cells = made_of(lambda snapshot: (Lines(), Cells(snapshot)), None, data)
    assert isinstance(made, Lines) and isinstance(cells, Cells)
    made, cells = made_of(Lines, lambda snapshot: Cells(snapshot), data)
    assert isinstance(made, Lines) and isinstance(cells, Cells)


def test_it_is_a_run_of_the_project_that_can_be_gone_on_with(lab_server, tmp_path, data):
    lab = client.connect(lab_server.url, lab_server.token, data_dir=tmp_path)
    frame = pl.from_arrow(data.table()).select(
        *data.info.features[:4], label=pl.col("label").replace_strict({0: "malignant", 1: "benign"})
    )
    project = lab.new_project("own modules", "tabular_classification", ["malignant", "benign"])
    project.import_frame(frame, features=list(data.info.features[:4]), label="label")

    def made(snapshot):
        return Lines(rate=0.05), Cells(snapshot)

    run = own_module.start(lab, project, made, None, {"epochs": 2})
    record = train.wait(run, TIMEOUT_S)
    assert record.status == "finished", record.error
    assert (record.name, record.recipe) == ("Lines", "own-module")
    assert record.params["module.rate"] == 0.05 and record.params["epochs"] == 2
    assert run.evaluation().accuracy == record.summary["test_accuracy"]
    again = own_module.start(lab, project, made, None, {"epochs": 3}, resume=run)
    assert again.id == run.id
    assert train.wait(again, TIMEOUT_S).status == "finished"
    assert len(again.metrics_frame(["val_loss"])) == 3
    with pytest.raises(InvalidInput, match="monitor"):
        own_module.start(lab, project, Lines(), Cells, {"patients": 3})
    empty = lab.start_run("empty", project=project.id)
    with pytest.raises(Conflict, match="no state"):
        own_module.start(lab, project, made, snapshot=record.snapshot_id, resume=empty)
