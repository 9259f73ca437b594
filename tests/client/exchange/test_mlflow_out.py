"""Out of the lab to a real MLflow server, and back in from what that has stored."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelship_lab.client import Lab
from modelship_lab.client.exchange.mlflow_server import MlflowServer
from modelship_lab.client.exchange.mlflow_words import param_text
from modelship_lab.records.errors import InvalidInput, Unavailable
from tests.client.exchange.conftest import Asked, told
from tests.client.exchange.full_lab import ARTIFACTS, POINTS, RUNS, everything, fill

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MILLISECOND_US = 1000
"""MLflow's times of points have no finer ones."""


def test_a_lab_goes_through_mlflow_into_another(
    lab: Lab, other: Lab, mlflow_server: tuple[str, Path], mlflow: Asked, tmp_path: Path
) -> None:
    url, folder = mlflow_server
    fill(lab, "to mlflow")
    with lab.start_run("odd names", project="to mlflow", params={"a,b": "x" * 7000, "../up": 1}) as odd:
        odd.log({"loss (train)": 1.0, "loss [train]": 2.0})
    here = everything(lab, "to mlflow", unit_us=MILLISECOND_US)
    runs = {run.name: run for run in lab.run_records("to mlflow")}
    first = next(run for run in runs.values() if run.recipe == "mine")
    # What it is a part of comes later than the part.
    lab.export_runs(url, runs=[runs["part"].id])
    transfer = lab.export_runs(url, "to mlflow")
    assert (transfer.runs, transfer.unchanged) == (RUNS, 1)
    assert (transfer.points, transfer.artifacts) == (POINTS + 2, ARTIFACTS)
    assert transfer.problems == ()
    left = transfer.left_out
    assert left["names of metrics that MLflow does not take, changed there"] == 4
    assert left["contexts of metrics, which are in their names there"] == 3
    assert left["names of parameters that MLflow does not take, changed there"] == 3
    assert left["names of artifacts that MLflow does not take, changed there"] == 1
    assert left["the state 'interrupted', which is KILLED there"] == 1
    there = told(mlflow, url, tmp_path)
    assert there.keys() == runs.keys()
    known = there[first.name]
    assert known["experiment"] == "to mlflow"
    assert known["status"] == "KILLED"
    assert known["start"] == int(first.started_at.timestamp() * 1000)
    assert known["end"] == known["start"] + 3_600_000
    assert known["tags"]["mlflow.note.content"] == first.notes
    assert known["tags"]["b"] == "c" and known["tags"]["a"] == ""
    assert known["params"]["lr"] == "0.1"
    assert known["params"]["layers"] == param_text([1, {"x": None}])
    assert [value for value, _, _ in known["metrics"]["rank:0/subset:val/loss"]] == ["0.5", "nan"]
    assert {value for value, _, step in known["metrics"]["odd"] if step == -5} == {"nan", "1.0", "2.0"}
    assert there["part"]["tags"]["mlflow.parentRunId"] == known["id"]
    assert there["inner"]["tags"]["mlflow.parentRunId"] == there["part"]["id"]
    images = [path for path in known["files"] if path.startswith("images/a~sample+step+20+timestamp+")]
    assert len(images) == 1 and known["tags"]["mlflow.loggedImages"] == "True"
    again = lab.export_runs(url, "to mlflow")
    assert (again.runs, again.unchanged) == (0, RUNS + 1)
    back = other.import_runs(folder / "mlflow.db")
    assert (back.runs, back.artifacts, back.problems) == (RUNS + 1, ARTIFACTS, ())
    assert everything(other, "to mlflow", unit_us=MILLISECOND_US) == here
    # What changed since replaces what was exported, and its parts are parts of it.
    lab.run(first.id).set_tags(["new"])
    assert lab.export_runs(url, runs=[first.id]).runs == 1
    changed = told(mlflow, url, tmp_path)
    assert "new" in changed[first.name]["tags"]
    assert changed["part"]["tags"]["mlflow.parentRunId"] == changed[first.name]["id"] != known["id"]


def without_ids(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What MLflow tells of runs, with the names of parents in place of their ids and without the lab's tags."""
    names = {run["id"]: name for name, run in runs.items()}
    infinities = {"1.7976931348623157e+308": "inf", "-1.7976931348623157e+308": "-inf"}
    return {
        name: {
            **{key: run[key] for key in ("experiment", "status", "start", "end", "params", "files")},
            "tags": {
                key: names[value] if key == "mlflow.parentRunId" else value
                for key, value in run["tags"].items()
                if not key.startswith("mlship.")
            },
            "metrics": {
                key: sorted([infinities.get(value, value), time, step] for value, time, step in points)
                for key, points in run["metrics"].items()
            },
        }
        for name, run in runs.items()
    }


def test_mlflow_goes_through_a_lab_and_comes_back_as_it_was(
    stores: dict[str, Path],
    other: Lab,
    mlflow_server: tuple[str, Path],
    mlflow: Asked,
    tmp_path: Path,
) -> None:
    path = stores["sqlite"]
    other.import_runs(path)
    transfer = other.export_runs(mlflow_server[0])
    assert (transfer.runs, transfer.problems) == (5, ())
    before = without_ids(told(mlflow, f"sqlite:///{path}", tmp_path))
    after = without_ids(
        {name: run for name, run in told(mlflow, mlflow_server[0], tmp_path).items() if name in before}
    )
    assert after == before


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
