"""A lab, and the runs that were started by themselves."""

from collections.abc import Callable, Iterator

import pytest

from modelship_lab import client
from modelship_lab.learning.autolog import autolog
from tests.conftest import LabServer


@pytest.fixture(scope="session")
def lab(lab_server: LabServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.Lab]:
    folder = tmp_path_factory.mktemp("client")
    connected = client.connect(lab_server.url, lab_server.token, data_dir=folder)
    yield connected
    connected.close()


@pytest.fixture
def autologged(lab: client.Lab) -> Iterator[Callable[[str], list[client.RunHandle]]]:
    """Switch a framework's autologging on; gives the list that gets the runs."""
    chosen: list[str] = []

    def on(framework: str) -> list[client.RunHandle]:
        started: list[client.RunHandle] = []
        chosen.append(framework)
        autolog(lab, framework, on_start=started.append)
        return started

    yield on
    for framework in chosen:
        autolog(lab, framework, disable=True)
