"""The client finds its server, waits for one that restarts, and keeps credentials to itself."""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from modelship_lab import client
from modelship_lab.client import discovery
from modelship_lab.records.errors import LabError, Unauthenticated, Unavailable
from tests.conftest import LabServer


def test_a_request_waits_for_a_server_that_restarts_on_another_port(start_server, tmp_path: Path) -> None:
    server = start_server(tmp_path)
    lab = client.connect(data_dir=tmp_path, start=False)
    project = lab.new_project("patient", "text_classification", ["a", "b"])
    server.kill()
    again = threading.Thread(target=start_server, args=(tmp_path,))
    again.start()
    assert lab.connection.request("GET", f"projects/{project.id}", patience_s=60).json()["name"] == "patient"
    again.join()


def test_a_server_that_is_away_is_one_clear_error(start_server, tmp_path: Path) -> None:
    server = start_server(tmp_path)
    lab = client.connect(data_dir=tmp_path, start=False)
    server.kill()
    lab.connection.patience_s = 0.3
    started = time.monotonic()
    with pytest.raises(Unavailable, match="No lab server answers"):
        lab.projects()
    assert time.monotonic() - started < 5
    with pytest.raises(Unavailable, match="mlship serve"):
        client.connect(data_dir=tmp_path, start=False)


class _OlderServer(BaseHTTPRequestHandler):
    """Answers as a server did that knew fewer fields."""

    def do_GET(self) -> None:
        body = b'{"lab_id": "older"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet."""


def test_a_server_of_another_version_is_one_line_that_says_what_to_do() -> None:
    with HTTPServer(("127.0.0.1", 0), _OlderServer) as server:
        answering = threading.Thread(target=server.serve_forever)
        answering.start()
        with pytest.raises(LabError, match=r"another version .* restart JupyterLab") as error:
            client.connect(f"http://127.0.0.1:{server.server_port}/", token="any")
        assert "\n" not in error.value.message
        server.shutdown()
        answering.join()


def test_the_environment_names_the_server(
    lab_server: LabServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLSHIP_URL", lab_server.url.rstrip("/"))
    monkeypatch.setenv("MLSHIP_TOKEN", lab_server.token)
    assert client.connect(data_dir=tmp_path).info.data_dir == str(lab_server.data_dir)
    monkeypatch.setenv("MLSHIP_TOKEN", "wrong")
    with pytest.raises(Unauthenticated):
        client.connect(data_dir=tmp_path)


def test_two_programs_that_start_at_once_share_the_one_server_they_start(tmp_path: Path) -> None:
    program = "from modelship_lab import client; print(client.connect().info.pid)"
    environment = {**os.environ, "PYTHONPATH": ".", "MLSHIP_HOME": str(tmp_path)}
    programs = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    try:
        pids = {int(one.communicate(timeout=90)[0]) for one in programs}
        assert len(pids) == 1
        assert discovery.running(tmp_path).pid in pids
    finally:
        stopped = subprocess.run(
            [sys.executable, "-m", "modelship_lab.commands.main", "stop", "--server"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert stopped.returncode == 0, stopped.stderr
    assert discovery.running(tmp_path) is None


def test_an_announcement_of_a_dead_process_is_not_believed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    content = {"pid": dead.pid, "url": "http://127.0.0.1:9/", "token": "x"}
    (tmp_path / "server.json").write_text(json.dumps(content))
    assert discovery.running(tmp_path) is None
    (tmp_path / "server.json").write_text("{ half")
    assert discovery.running(tmp_path) is None


def test_the_credential_is_in_no_repr_and_no_error(lab: client.Lab, lab_server: LabServer) -> None:
    run = lab.start_run("secret")
    shown = [repr(one) for one in (lab, lab.connection, lab.connection._address, run, lab.info)]
    with pytest.raises(Exception, match="no") as caught:
        lab.project("no such project")
    run.finish()
    assert lab_server.token not in " ".join([*shown, str(caught.value), repr(caught.value.details)])
