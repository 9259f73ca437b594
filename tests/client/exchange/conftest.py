"""Real peers: MLflow in an environment of its own, which is made once and kept beside the tests' own."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelship_lab import client
from modelship_lab.client import Lab
from tests.environments import MLFLOW, python_with

Asked = Callable[[str, str, Path], Any]
"""What to do, the tracking URI, the folder to be in."""


@pytest.fixture
def other(start_server: Callable[..., Any], tmp_path: Path) -> Iterator[Lab]:
    """Another lab."""
    server = start_server(tmp_path / "other")
    connected = client.connect(server.url, server.token, data_dir=tmp_path / "other client")
    yield connected
    connected.close()


@pytest.fixture(scope="session")
def mlflow_python() -> str:
    """The Python of an environment that has MLflow."""
    return python_with(MLFLOW)


@pytest.fixture(scope="session")
def mlflow(mlflow_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Asks `mlflow_runs.py` in that environment: MLflow takes seconds to import."""
    errors = tmp_path_factory.mktemp("mlflow client") / "errors"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [mlflow_python, str(Path(__file__).parent / "mlflow_runs.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True,
            env={**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "PYTHONPATH": ""},
        ) as process,
    ):  # fmt: skip

        def ask(what: str, uri: str, folder: Path) -> Any:
            assert process.stdin and process.stdout
            print(json.dumps([what, uri, str(folder)]), file=process.stdin, flush=True)
            answer = process.stdout.readline()
            assert answer, errors.read_text()[-3000:]
            return json.loads(answer)

        yield ask


@pytest.fixture(scope="session")
def stores(mlflow: Asked, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same runs in a database and in a file store."""
    folder = tmp_path_factory.mktemp("mlflow")
    for uri in (f"sqlite:///{folder}/mlflow.db", f"file://{folder}/files"):
        mlflow("log", uri, folder)
    return {"sqlite": folder / "mlflow.db", "file": folder / "files"}


@pytest.fixture(scope="session")
def mlflow_server(mlflow_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of an MLflow server, and the folder that has its database and artifacts."""
    folder = tmp_path_factory.mktemp("mlflow server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                mlflow_python, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
                "--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "./mlartifacts",
            ],
            cwd=folder, stdout=log, stderr=subprocess.STDOUT,
            # Its jobs are not asked for, and each of their processes imports MLflow.
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONPATH": ""},
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 240
    while True:
        assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                break
        except httpx.HTTPError:
            time.sleep(0.2)
    yield url, folder
    process.terminate()
    process.wait(30)


def told(mlflow: Asked, uri: str, folder: Path) -> dict[str, dict[str, Any]]:
    """What MLflow itself says of all its runs, by their names."""
    return {run["name"]: run for run in mlflow("tell", uri, folder)}
