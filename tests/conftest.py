"""Real lab servers for the tests: processes of their own, on data directories of their own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.forks import ForkedServer, Template

# Tests say what a run holds; what it would note by itself is tested where it is asked for.
os.environ["MLSHIP_SYSTEM_METRICS"] = os.environ["MLSHIP_SOURCE"] = "0"
# No way to the hub, wherever this runs; and nothing that was brought from there.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["HF_HOME"] = f"{tempfile.gettempdir()}/no-hub-of-{os.getuid()}"

START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 20
SHARING = (
    "tests/client/exchange/test_m",
    "tests/commands/test_s",
    "tests/server/ownership/",
    "tests/worker/",
)
"""Beginnings of files that share what is made once for a whole session, and takes long."""


class SharingScheduling(LoadFileScheduling):
    """Gives files to a process as a whole, and all those that share something to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return next((begin for begin in SHARING if nodeid.startswith(begin)), super()._split_scope(nodeid))


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    """Content is named by its length: gzip's holds the time, and two processes must name a test alike."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    return SharingScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have several processes begin with the files of slow tests, so that they end together."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


@dataclass
class LabServer:
    """A running lab server process."""

    process: subprocess.Popen | ForkedServer
    url: str
    """Base address with a slash at the end."""
    token: str
    data_dir: Path
    log_file: Path
    client: httpx.Client
    """Speaks to the native API with the lab's token."""

    @property
    def workspace(self) -> Path:
        """The folder in which clients may name files."""
        return self.data_dir / "workspace"

    def stop(self) -> None:
        """Stop gracefully, as an interrupt from the terminal does."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
                self.kill()
                raise

    def kill(self) -> None:
        """End at once, as a crash does."""
        self.client.close()
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)


def run_server(
    data_dir: Path,
    *options: str,
    token: str = "test-token-of-this-run",
    template: Template | None = None,
    program: str = "",
) -> LabServer:
    """Start a lab server on a free port and wait until it answers.

    Args:
        template: what the server is a fork of, instead of a program that is started.
        program: a file that such a fork runs instead of the server's own program, and that takes the same options.
    """
    workspace = data_dir / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    log_file = data_dir / "server.log"
    announced = data_dir / "server.json"
    words = ["--port", "0", "--data-dir", str(data_dir), "--workspace", str(workspace), *options]
    environment = {**os.environ, "MLSHIP_TOKEN": token}
    process: subprocess.Popen | ForkedServer
    if template:
        process = template.fork(words, environment, log_file, program)
    else:
        with log_file.open("ab") as log:
            start = [sys.executable, "-m", "modelship_lab.server", *words]
            process = subprocess.Popen(start, stdout=log, stderr=subprocess.STDOUT, env=environment)
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            content = json.loads(announced.read_text())
            if content["pid"] == process.pid:
                httpx.get(f"{content['url']}mlship/api/health").raise_for_status()
                client = httpx.Client(
                    base_url=f"{content['url']}mlship/api/",
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=60,
                )
                return LabServer(process, content["url"], token, data_dir, log_file, client)
        except (OSError, ValueError, httpx.HTTPError):
            pass
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"The lab server did not start:\n{log_file.read_text()[-4000:]}")


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory: pytest.TempPathFactory, template: Template) -> Iterator[LabServer]:
    """One lab server that all tests of the session share; each uses names of its own."""
    server = run_server(tmp_path_factory.mktemp("lab"), template=template)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    """What most servers are forks of, and their jobs, too."""
    made = Template("server")
    yield made
    made.close()


@pytest.fixture
def start_server(template: Template) -> Iterator:
    """Start lab servers that the test may kill; what is left of them is ended afterwards."""
    started: list[LabServer] = []

    def start(data_dir: Path, *options: str, **settings: str) -> LabServer:
        server = run_server(data_dir, *options, template=template, **settings)
        started.append(server)
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()
