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
from modelship_lab.bundles.pack import from_tar
from modelship_lab.bundles.run import BundleModel
from modelship_lab.learning import own_module, train
from modelship_lab.learning.checkpoint import NAME, Checkpoint
from modelship_lab.learning.model_export import export_run
from modelship_lab.learning.own_module import OwnModuleOptions, fit_module
from modelship_lab.learning.own_outcome import MODEL, SIGNATURE
from modelship_lab.learning.own_parts import made_of
from modelship_lab.learning.train import STATE
from modelship_lab.records.errors import Conflict, InvalidData, InvalidInput, TrainingFailed
from modelship_lab.records.evaluation import Evaluation
from tests.learning.snapshots import Recorder, numbers_snapshot, table

TIMEOUT_S = 90


class Lines(LightningModule):
    """A linear model of whatever has so many columns."""

    def __init__(self, columns=4, classes=2, rate=0.1):
        super().__init__()
        self.save_hyperparameters("columns", "classes", "rate")
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
    with torch.random.fork_rng():
        # Its first weights are its maker's affair.
        torch.manual_seed(0)
        module = Lines()
    return fitted(data, module, epochs=4)


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


class Raw(LightningDataModule):
    """The features of a snapshot as they are, with its labels or numbers; every fifth row is kept apart."""

    def __init__(self, snapshot, said="label"):
        super().__init__()
        content = snapshot.table()
        cells = np.stack([content.column(name).to_numpy() for name in snapshot.info.features], 1)
        wanted = content.column(said).to_numpy()
        wanted = torch.tensor(wanted, dtype=torch.float32 if said == "number" else torch.int64)
        held = np.arange(len(wanted)) % 5 == 0
        self.training, self.held = (
            TensorDataset(torch.tensor(cells[rows], dtype=torch.float32), wanted[rows])
            for rows in (~held, held)
        )
        self.held.sample_ids = content.column("sample_id").to_numpy()[held]

    def train_dataloader(self):
        return DataLoader(self.training, 64, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.held, 256)


class Scaling(Lines):
    """What the data module could do is done in `forward`: so samples can be given as they are."""

    def __init__(self, snapshot, classes):
        super().__init__(len(snapshot.info.features), classes)
        content = snapshot.table()
        cells = np.stack([content.column(name).to_numpy() for name in snapshot.info.features], 1)
        self.register_buffer("middle", torch.tensor(cells.mean(0), dtype=torch.float32))
        self.register_buffer("spread", torch.tensor(cells.std(0), dtype=torch.float32))

    def forward(self, numbers):
        return self.output((numbers - self.middle) / self.spread)


class Squares(Scaling):
    """One number for each row."""

    def __init__(self, snapshot):
        super().__init__(snapshot, 1)

    def forward(self, numbers):
        return super().forward(numbers).squeeze(-1)

    def training_step(self, batch, place):
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch, place):
        self.log("val_loss", nn.functional.mse_loss(self(batch[0]), batch[1]))


def unpacked(run, folder):
    with io.BytesIO(run.artifacts["bundle.tar"]) as file:
        from_tar(file, folder)
    return BundleModel(folder)


def test_a_module_that_takes_the_features_as_they_are_is_a_bundle(data, tmp_path):
    run, figures = fitted(data, Scaling(data, 2), cells=Raw(data), epochs=3)
    assert run.params["bundle"] == "table_encoding"
    bundle = unpacked(run, tmp_path / "bundle")
    assert bundle.manifest.lineage.recipe == "own-module" and bundle.manifest.parity.label_flips == 0
    rows = data.table().select(list(data.info.features)).to_pylist()
    said = [one.prediction for one in bundle.predict(rows[::5])]
    labels = [data.info.classes[label] for label in data.table().column("label").to_pylist()[::5]]
    right = np.mean([one == other for one, other in zip(said, labels, strict=True)])
    assert right == pytest.approx(figures["test_accuracy"]) and right > 0.85
    # What is missing is taken for what is typical.
    assert bundle.predict([{data.info.features[0]: 14.0}])[0].prediction in data.info.classes


def test_a_module_that_predicts_a_number_is_evaluated_and_a_bundle(tmp_path):
    random = np.random.default_rng(0)
    columns = {"size": random.normal(80, 20, 200), "age": random.normal(30, 9, 200)}
    prices = 0.1 * columns["size"] - 0.2 * columns["age"] + random.normal(0, 0.3, 200)
    data = numbers_snapshot(prices, columns)
    run, figures = fitted(data, Squares(data), cells=Raw(data, "number"), epochs=30)
    assert figures["test_r2"] > 0.5 and Evaluation.model_validate_json(run.artifacts["evaluation.json"]).rows
    bundle = unpacked(run, tmp_path / "bundle")
    rows = data.table().select(list(data.info.features)).to_pylist()
    wanted = data.table().column("number").to_numpy()[::5]
    errors = np.array([one.prediction for one in bundle.predict(rows[::5])]) - wanted
    assert np.sqrt((errors**2).mean()) == pytest.approx(figures["test_rmse"], rel=1e-3)


def test_why_a_module_is_no_bundle_is_said(data, trained):
    """Its data module has scaled what it takes: the bundle would answer nonsense."""
    assert "bundle.tar" not in trained[0].artifacts
    assert "forward does not take the features as they are" in trained[0].params["bundle"]


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
    slow = own_module.start(
        lab, project, lambda snapshot: (Lines(rate=1e-6), Cells(snapshot)), None, {"epochs": 1}
    )
    assert train.wait(slow, TIMEOUT_S).status == "finished"
    judged = run.significance(slow.id)
    assert judged.rows == 114 and judged.p_value < 0.05
    assert judged.score == run.evaluation().accuracy > slow.evaluation().accuracy == judged.other_score
    with pytest.raises(Conflict, match="does not take the features as they are"):
        export_run(run, ("onnx",))
    raw = own_module.start(
        lab, project, lambda snapshot: (Scaling(snapshot, 2), Raw(snapshot)), None, {"epochs": 1}
    )
    assert train.wait(raw, TIMEOUT_S).status == "finished"
    assert export_run(raw, ("onnx",)).lineage.run_id == raw.id
    held = lab.snapshot(raw.record.snapshot_id).table()["sample_id"].to_numpy()[::5]
    assert pl.read_ipc(raw.artifact("predictions.arrow"))["sample_id"].to_list() == held.tolist()
    with pytest.raises(InvalidInput, match="as ONNX and as it is"):
        export_run(raw, ("torchscript",))
    version = lab.register(raw.id, "own cells")
    lab.deploy(f"{version.model}/{version.version}", "own-cells")
    try:
        row = dict(zip(data.info.features[:4], (25.0, 30.0, 170.0, 1900.0), strict=True))
        assert lab.predict("own-cells", row).prediction == "malignant"
    finally:
        lab.undeploy("own-cells")
    with pytest.raises(InvalidInput, match="monitor"):
        own_module.start(lab, project, Lines(), Cells, {"patients": 3})
    empty = lab.start_run("empty", project=project.id)
    with pytest.raises(Conflict, match="no state"):
        own_module.start(lab, project, made, snapshot=record.snapshot_id, resume=empty)
