"""What `LabLogger` and `LabCallback` cost a Lightning loop, against the same loop with `logger=False`.

Run as `python -m tests.benchmarks.bench_lightning_logger`; prints one JSON line. Both sides train the same network
on one core, in turns, on a lab server of their own; only the steps are timed, from the first to the last. The figures
are medians of the paired ratios: of the time on the clock, and, as a busy machine disturbs them less, of the processor
time of the training's thread and of the process, in which other threads send.
"""

import json
import logging
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from modelship_lab import client
from modelship_lab.learning.lightning_logger import LabCallback, LabLogger
from tests.conftest import run_server

PAIRS = 21
STEPS = 200
WIDTH = 512
BATCH = 64


class Network(LightningModule):
    """A step takes a few milliseconds on one core."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = nn.functional.mse_loss(self.layers(batch[0]), batch[0])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


class Stopwatch(Callback):
    """Seconds on the clock and of the processor, from the first step to the last."""

    def on_train_epoch_start(self, *_: object) -> None:
        self.start = time.perf_counter(), time.thread_time(), time.process_time()

    def on_train_epoch_end(self, *_: object) -> None:
        now = time.perf_counter(), time.thread_time(), time.process_time()
        self.seconds = tuple(end - start for end, start in zip(now, self.start, strict=True))


def seconds(folder: str, logger: LabLogger | None) -> tuple[float, ...]:
    torch.manual_seed(0)
    watch = Stopwatch()
    data = DataLoader(TensorDataset(torch.randn(STEPS * BATCH, WIDTH)), batch_size=BATCH)
    Trainer(
        logger=logger or False,
        callbacks=[watch, LabCallback()] if logger else [watch],
        max_epochs=1,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    ).fit(Network(), data)
    return watch.seconds


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        server = run_server(Path(folder) / "lab")
        try:
            lab = client.connect(server.url, server.token, data_dir=Path(folder) / "client")
            seconds(folder, None), seconds(folder, LabLogger(lab, "warm"))
            pairs = []
            for turn in range(PAIRS):
                if turn % 2:
                    ours, bare = seconds(folder, LabLogger(lab, "bench")), seconds(folder, None)
                else:
                    bare, ours = seconds(folder, None), seconds(folder, LabLogger(lab, "bench"))
                pairs.append((bare, ours))
            lab.close()
        finally:
            server.stop()
    print(
        json.dumps(
            {
                "benchmark": "lightning_logger",
                "threads": 1,
                "step_ms": round(statistics.median(bare[0] for bare, _ in pairs) / STEPS * 1e3, 3),
                "slowdown": round(statistics.median(ours[0] / bare[0] for bare, ours in pairs), 4),
                "slowdown_of_thread": round(statistics.median(ours[1] / bare[1] for bare, ours in pairs), 4),
                "slowdown_of_process": round(statistics.median(ours[2] / bare[2] for bare, ours in pairs), 4),
                "overhead_us_per_step": round(
                    statistics.median(ours[1] - bare[1] for bare, ours in pairs) / STEPS * 1e6, 1
                ),
            }
        )
    )


if __name__ == "__main__":
    main()
