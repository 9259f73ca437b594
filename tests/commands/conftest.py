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


@pytest.fixture(scope="session")
def trainers() -> Iterator[Template]:
    """For commands that train or export: it has imported what they do that with."""
    made = Template("trainers")
    yield made
    made.close()


@pytest.fixture
def mlship(lab_server: LabServer, shell_template: Template, tmp_path: Path) -> Shell:
    return _shell(lab_server, shell_template, (), tmp_path)


@pytest.fixture
def training_mlship(lab_server: LabServer, trainers: Template, tmp_path: Path) -> Shell:
    return _shell(lab_server, trainers, ("mlship",), tmp_path)


def _shell(lab_server: LabServer, template: Template, first: tuple[str, ...], home: Path) -> Shell:
    def run(*words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess:
        told = {
            **os.environ,
            "PYTHONPATH": ".",
            "COLUMNS": "160",
            "MLSHIP_URL": lab_server.url,
            "MLSHIP_TOKEN": lab_server.token,
            "MLSHIP_HOME": str(home),
            **environment,
        }
        return template.run([*first, *words], told, stdin)

    return run
