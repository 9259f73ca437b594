"""The shell's `mlship`, as a process of its own against the session's lab server."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import LabServer

Shell = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def mlship(lab_server: LabServer, tmp_path: Path) -> Shell:
    def run(*words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "modelship_lab.commands.main", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env={
                **os.environ,
                "PYTHONPATH": ".",
                "COLUMNS": "160",
                "MLSHIP_URL": lab_server.url,
                "MLSHIP_TOKEN": lab_server.token,
                "MLSHIP_HOME": str(tmp_path),
                **environment,
            },
        )

    return run
