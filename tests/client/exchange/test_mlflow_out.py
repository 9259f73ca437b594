"""Out of the lab to a real MLflow server, and back in from what that has stored."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from modelship_lab.client import Lab
from modelship_lab.client.exchange.mlflow_server import MlflowServer
from modelship_lab.client.exchange.mlflow_words import param_text
from modelship_lab.records.errors import InvalidInput, Unavailable
from tests.client.exchange.conftest import told
from tests.client.exchange.test_mlflow_in import points_of
from tests.client.exchange.test_parquet import contents, facts, fill

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def mlflow_server(mlflow_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of an MLflow server, and the folder that has its database and artifacts."""
    folder = tmp_path_factory.mktemp("mlflow server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                mlflow_python, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
                "--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "./mlartifacts",
            ],
            cwd=folder, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": ""},
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                break
        except httpx.HTTPError:
            time.sleep(0.2)
    yield url, folder
    process.terminate()
    process.wait(30)


def test_a_lab_goes_through_mlflow_and_comes_back_as_it_was(
    lab: Lab, mlflow_server: tuple[str, Path], mlflow: Callable[..., str], tmp_path: Path
) -> None:
    url, folder = mlflow_server
    fill(lab, "to mlflow")
    with lab.start_run("odd names", project="to mlflow", params={"a,b": "x" * 7000, "../up": 1}) as odd:
        odd.log({"loss (train)": 1.0, "loss [train]": 2.0})
    transfer = lab.export_runs(url, "to mlflow")
    assert (transfer.runs, transfer.artifacts, transfer.problems) == (3, 3, ())
    assert transfer.points == 6006
    left = transfer.left_out
    assert left["names of metrics that MLflow does not take, changed there"] == 2
    assert left["names of parameters that MLflow does not take, changed there"] == 3
    assert left["names of artifacts that MLflow does not take, changed there"] == 1
    assert left["the state 'interrupted', which is KILLED there"] == 1
    there = told(mlflow, url, tmp_path)
    runs = {run.name: run for run in lab.run_records("to mlflow")}
    assert there.keys() == runs.keys()
    first = next(run for run in runs.values() if run.recipe == "mine")
    known = there[first.name]
    assert known["experiment"] == "to mlflow"
    assert known["status"] == "KILLED"
    assert known["start"] == int(first.started_at.timestamp() * 1000)
    assert known["end"] == known["start"] + 3_600_000
    assert known["tags"]["mlflow.note.content"] == first.notes
    assert known["tags"]["b"] == "c" and known["tags"]["a"] == ""
    assert known["params"]["lr"] == "0.1"
    assert known["params"]["layers"] == param_text([1, {"x": None}])
    largest = {"1.7976931348623157e+308": "inf", "-1.7976931348623157e+308": "-inf"}
    expected = points_of(lab, first)
    stored = {
        name: sorted([largest.get(value, value), step] for value, _, step in points)
        for name, points in known["metrics"].items()
    }
    assert stored == {
        name: sorted([value, step] for value, _, step in points) for name, points in expected.items()
    }
    again = lab.export_runs(url, "to mlflow")
    assert (again.runs, again.unchanged) == (0, 3)
    assert told(mlflow, url, tmp_path).keys() == runs.keys()
    before = {name: (facts(run), contents(lab, run), values_of(lab, run.id)) for name, run in runs.items()}
    for run in runs.values():
        lab.run(run.id).delete()
    back = lab.import_runs(folder / "mlflow.db")
    assert (back.runs, back.artifacts, back.problems) == (3, 3, ())
    after = {run.name: run for run in lab.run_records("to mlflow")}
    assert {
        name: (facts(run), contents(lab, run), values_of(lab, run.id)) for name, run in after.items()
    } == before
    # What changed since replaces what was exported.
    run = lab.run(next(run.id for run in after.values() if run.name == "second"))
    run.set_tags(["new"])
    changed = lab.export_runs(url, runs=[run])
    assert changed.runs == 1
    assert "new" in told(mlflow, url, tmp_path)["second"]["tags"]


def values_of(lab: Lab, run_id: int) -> list[tuple[str, int, int, str]]:
    """Every point, with its time in milliseconds, which is all that MLflow keeps."""
    frame = lab.run(run_id).metrics_frame()
    return sorted(
        (name, step, int(moment.timestamp() * 1000), repr(value))
        for name, _, step, moment, value in frame.iter_rows()
    )


def test_a_server_that_is_busy_is_asked_again() -> None:
    answers = [429, 500, 200, 500, 400]

    class Busy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(answers.pop(0))
            self.send_header("Retry-After", "0.1")
            self.end_headers()
            self.wfile.write(b'{"message": "said"}')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Busy) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        server = MlflowServer(f"http://127.0.0.1:{http.server_port}")
        assert server.post("runs/log-batch")["message"] == "said"
        assert answers == [500, 400]
        # Whether it has been done is not known, and twice would be wrong.
        with pytest.raises(Unavailable, match="said"):
            server.post("runs/create", repeatable=False)
        with pytest.raises(InvalidInput, match="refuses: said"):
            server.post("runs/log-batch")
        server.close()
        http.shutdown()


def test_no_server_is_told(lab: Lab) -> None:
    with lab.start_run("alone") as run:
        pass
    with pytest.raises(Unavailable, match="No MLflow server answers"):
        lab.export_runs("http://127.0.0.1:9", runs=[run])
