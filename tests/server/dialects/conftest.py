"""A lab server with open registration and without limits, and those who use its AI Manager API."""

import pytest

from tests.conftest import run_server
from tests.server.dialects.programs import MOUNT, Program, register


@pytest.fixture(scope="module")
def server(tmp_path_factory, template):
    data_dir = tmp_path_factory.mktemp("ai-manager")
    server = run_server(data_dir, "--open-registration", "--no-rate-limits", template=template)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def nobody(server):
    return Program(server.url + MOUNT, "")


@pytest.fixture(scope="module")
def owner(server):
    return Program(server.url + MOUNT, server.token)


@pytest.fixture(scope="module")
def ada(server):
    return register(server, "ada")


@pytest.fixture(scope="module")
def bob(server):
    return register(server, "bob")
