"""Real peers: MLflow in an environment of its own, which is made once and kept beside the tests' own."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

MLFLOW = "mlflow==3.17.2"
"""With what it needs, 850 MB in 89 packages: too much for everybody who develops here."""

Told = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def mlflow_python() -> str:
    """The Python of an environment that has MLflow."""
    folder = Path(sys.prefix) / "mlflow"
    done = folder / f"{MLFLOW}.installed"
    python = folder / "bin" / "python"
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            venv.create(folder, clear=True, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", MLFLOW], check=True, timeout=900)
            done.touch()
    return str(python)


@pytest.fixture(scope="session")
def mlflow(mlflow_python: str) -> Callable[..., str]:
    """Runs `mlflow_runs.py` in that environment."""

    def run(*words: str, folder: Path) -> str:
        program = Path(__file__).parent / "mlflow_runs.py"
        result = subprocess.run(
            [mlflow_python, str(program), *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "PYTHONPATH": ""},
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def told(mlflow: Callable[..., str], uri: str, folder: Path) -> dict[str, dict[str, Any]]:
    """What MLflow itself says of all its runs, by their names."""
    return {run["name"]: run for run in json.loads(mlflow("tell", uri, folder=folder))}
