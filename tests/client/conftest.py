"""A client of the session's lab server, with spools and caches of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelship_lab import client
from tests.conftest import LabServer


@pytest.fixture
def lab(lab_server: LabServer, tmp_path: Path) -> Iterator[client.Lab]:
    connected = client.connect(lab_server.url, lab_server.token, data_dir=tmp_path)
    yield connected
    connected.close()
