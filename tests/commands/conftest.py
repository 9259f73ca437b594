"""The shell's `mlship` against the session's lab server."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import LabServer
from tests.forks import Template

Shell = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="session")
def shell_template() -> Iterator[Template]:
    made = Template("mlship")
    yield made
    made.close()


@pytest.fixture
def mlship(lab_server: LabServer, shell_template: Template, tmp_path: Path) -> Shell:
    def run(*words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess:
        told = {
            **os.environ,
            "PYTHONPATH": ".",
            "COLUMNS": "160",
            "MLSHIP_URL": lab_server.url,
            "MLSHIP_TOKEN": lab_server.token,
            "MLSHIP_HOME": str(tmp_path),
            **environment,
        }
        return shell_template.run(list(words), told, stdin)

    return run
