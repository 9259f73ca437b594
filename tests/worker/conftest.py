"""Real worker processes that serve small real bundles."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelship_lab.records.bundle import ImageScaling
from tests.bundles.examples import MIXED, TEXT, image_model, table, table_model, text_model, write

KEY = "a-key-for-tests"
GRAY = ImageScaling(height=28, width=28, channels=1)
NUMBERS = table(4)


class Worker:
    """A started worker process and a client that has its key."""

    def __init__(self, bundle: Path, folder: Path, *options: str, name: str = "spam api") -> None:
        self.log = folder / "worker.log"
        ready_file = folder / "ready.json"
        command = [sys.executable, "-m", "modelship_lab.worker", "--bundle", str(bundle), "--name", name]
        command += ["--model-version", "v3", "--ready-file", str(ready_file), "--log", str(self.log)]
        self.process = subprocess.Popen(
            [*command, *options],
            env={**os.environ, "MLSHIP_WORKER_KEY": KEY},
        )
        deadline = time.monotonic() + 90
        while not ready_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the worker did not start: {self.log.read_text()}")
            time.sleep(0.02)
        self.ready: dict[str, Any] = json.loads(ready_file.read_text())
        self.client = httpx.Client(
            base_url=self.ready["address"], headers={"Authorization": f"Bearer {KEY}"}, timeout=30
        )

    def predict(self, data: Any, **more: Any) -> httpx.Response:
        return self.client.post("/predict", json={"data": data, **more})

    def stop(self) -> int:
        """End it in order; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def served(tmp_path_factory: pytest.TempPathFactory, task: Any, spec: Any, model: bytes) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("worker")
    worker = Worker(write(folder / "bundle", task, spec, model), folder)
    yield worker
    worker.client.close()
    assert worker.stop() == 0


@pytest.fixture(scope="session")
def text_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    yield from served(tmp_path_factory, "text_classification", TEXT, text_model())


@pytest.fixture(scope="session")
def image_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    yield from served(tmp_path_factory, "image_classification", GRAY, image_model(GRAY))


@pytest.fixture(scope="session")
def numbers_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    yield from served(tmp_path_factory, "tabular_classification", NUMBERS, table_model(NUMBERS))


@pytest.fixture(scope="session")
def mixed_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    yield from served(tmp_path_factory, "tabular_classification", MIXED, table_model(MIXED))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Start a worker of one's own with other options."""
    started: list[Worker] = []

    def start_one(*options: str) -> Worker:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        bundle = write(folder / "bundle", "tabular_classification", NUMBERS, table_model(NUMBERS))
        started.append(Worker(bundle, folder, *options))
        return started[-1]

    yield start_one
    for worker in started:
        worker.client.close()
        worker.stop()
