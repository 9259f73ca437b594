"""A lab server that speaks the example APIs beside its own."""

from pathlib import Path

import pytest

from tests.conftest import run_server

PROGRAM = str(Path(__file__).parent / "example_dialect.py")


@pytest.fixture(scope="module")
def example_server(tmp_path_factory, template):
    server = run_server(tmp_path_factory.mktemp("example"), template=template, program=PROGRAM)
    yield server
    server.stop()
