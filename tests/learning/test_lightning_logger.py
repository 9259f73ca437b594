"""One's own LightningModule, trained by a real trainer, logged to a real lab."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

from modelship_lab import client
from modelship_lab.learning.lightning_logger import LabCallback, LabLogger
from tests.conftest import LabServer


class Line(LightningModule):
    """y = wx + b."""

    def __init__(self, learning_rate: float = 0.1, fails_at: int = -1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        if self.global_step == self.hparams.fails_at:
            raise ZeroDivisionError("the seventh step")
        loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

    def test_step(self, batch, batch_idx):
        self.log("test_loss", torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.learning_rate)


@pytest.fixture(scope="module")
def lab(lab_server: LabServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.Lab]:
    folder = tmp_path_factory.mktemp("client")
    connected = client.connect(lab_server.url, lab_server.token, data_dir=folder)
    yield connected
    connected.close()


def batches() -> DataLoader:
    x = torch.linspace(-1, 1, 64)[:, None]
    return DataLoader(TensorDataset(x, 3 * x + 1), batch_size=16)


def trainer(logger: LabLogger, folder: Path, *callbacks, **settings) -> Trainer:
    return Trainer(
        logger=logger,
        callbacks=list(callbacks),
        default_root_dir=folder,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **settings,
    )


def points(run: client.RunHandle) -> dict[str, dict[int, float]]:
    frame: pl.DataFrame = run.metrics_frame()
    return {
        str(name): dict(zip(group["step"].to_list(), group["value"].to_list(), strict=True))
        for (name,), group in frame.group_by("name")
    }


def test_a_training_becomes_a_run(lab: client.Lab, tmp_path: Path) -> None:
    logger = LabLogger(lab, "line", tags=["mine"], checkpoints=True)
    training = trainer(logger, tmp_path, LabCallback(), max_epochs=2)
    training.fit(Line(0.2), batches(), batches())
    training.test(dataloaders=batches(), verbose=False)
    run = lab.run(int(logger.version.removeprefix("run_")))
    assert (run.record.status, run.record.name, run.record.tags) == ("finished", "line", ("mine",))
    assert run.record.params == {"learning_rate": 0.2, "fails_at": -1}
    logged = points(run)
    assert list(logged["test_loss"]) == [8]
    assert sorted(logged["train_loss"]) == list(range(8))
    assert sorted(logged["val_loss"]) == [3, 7]
    assert logged["epoch"][7] == 2, "the second one"
    assert set(logged["learning_rate"].values()) == {0.2}
    assert logged["progress"][7] == 100
    assert logged["remaining_s"][7] == 0
    assert logged["samples_per_s"][3] > 0
    assert (tmp_path / "line" / logger.version / "checkpoints").is_dir()
    (saved,) = run.artifacts()
    assert saved.name == "best.ckpt"
    assert run.download("best.ckpt", tmp_path / "again.ckpt").stat().st_size == saved.size


def test_what_fails_is_a_failed_run_with_its_traceback(lab: client.Lab, tmp_path: Path) -> None:
    logger = LabLogger(lab, "fails")
    with pytest.raises(ZeroDivisionError):
        trainer(logger, tmp_path, max_epochs=5).fit(Line(fails_at=6), batches())
    run = lab.run(int(logger.version.removeprefix("run_")))
    assert run.record.status == "failed"
    assert run.record.error == "ZeroDivisionError: the seventh step"
    assert b"training_step" in run.artifact("traceback.txt")
    assert sorted(points(run)["train_loss"]) == list(range(6))


def test_who_asks_the_run_to_stop_gets_a_checkpoint(lab: client.Lab, tmp_path: Path) -> None:
    logger = LabLogger(lab, "endless")
    run = logger.experiment
    asked = threading.Timer(0.3, run.stop)
    asked.start()
    going_on = trainer(logger, tmp_path, LabCallback(), max_epochs=1_000_000)
    going_on.fit(Line(), batches())
    assert lab.run(run.id).record.status == "stopped"
    (stopped,) = tmp_path.rglob("stopped.ckpt")
    assert torch.load(stopped, weights_only=False)["global_step"] == going_on.global_step


@pytest.fixture
def signals() -> Iterator[None]:
    """Lightning ignores interrupts after the first one."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def test_an_interrupt_is_a_stop(lab: client.Lab, tmp_path: Path, signals: None) -> None:
    class Impatient(Line):
        def on_train_batch_end(self, *_: object) -> None:
            raise KeyboardInterrupt

    logger = LabLogger(lab, "interrupted")
    with pytest.raises(SystemExit):  # Lightning's way
        trainer(logger, tmp_path, max_epochs=1).fit(Impatient(), batches())
    assert lab.run(int(logger.version.removeprefix("run_"))).record.status == "stopped"


def test_the_active_run_is_used_and_ended_by_whoever_started_it(lab: client.Lab, tmp_path: Path) -> None:
    with lab.start_run("mine") as run:
        logger = LabLogger(lab)
        trainer(logger, tmp_path, LabCallback(loss="mean_loss"), max_epochs=1).fit(Line(), batches())
        assert logger.experiment is run
        assert run.is_running
    logged = points(run)
    assert list(logged["mean_loss"]) == [0, 1, 2, 3]
    assert logged["mean_loss"] == pytest.approx(logged["train_loss"])
