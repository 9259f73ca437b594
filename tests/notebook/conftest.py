"""A shell of IPython with the extension loaded, on the session's lab server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from modelship_lab import client
from tests.conftest import LabServer


@pytest.fixture
def at_lab(lab_server: LabServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabServer:
    monkeypatch.setenv("MLSHIP_URL", lab_server.url)
    monkeypatch.setenv("MLSHIP_TOKEN", lab_server.token)
    monkeypatch.setenv("MLSHIP_HOME", str(tmp_path))
    return lab_server


@pytest.fixture
def shell(at_lab: LabServer) -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    made.extension_manager.load_extension("modelship_lab")
    yield made
    InteractiveShell.clear_instance()


@pytest.fixture
def lab(at_lab: LabServer) -> Iterator[client.Lab]:
    connected = client.connect()
    yield connected
    connected.close()
