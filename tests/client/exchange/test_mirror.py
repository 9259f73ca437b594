"""Runs that are at a real MLflow server while they go on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelship_lab.client import Lab
from modelship_lab.client.exchange.mirror import Mirror
from modelship_lab.client.exchange.mlflow_server import MlflowServer
from modelship_lab.records.tracking import mlflow_id
from tests.client.exchange.conftest import told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_run_is_at_mlflow_from_its_beginning_and_whole_after_its_end(
    lab: Lab,
    mlflow_server: tuple[str, Path],
    mlflow: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, _ = mlflow_server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    lab.new_project("mirrored news")
    run = lab.start_run("mirrored", project="mirrored news", params={"lr": 0.1})
    mirror = Mirror(run)
    for step in range(3):
        run.log({"loss": 1.0 / (step + 1)}, step)
    run.save_artifact("note.txt", "seen")
    run.finish({"test_accuracy": 0.9})
    mirror.complete()
    there = told(mlflow, url, tmp_path)["mirrored"]
    assert there["id"] == mlflow_id(run.refresh().tags)
    assert there["experiment"] == "mirrored news" and there["status"] == "FINISHED"
    assert there["params"]["lr"] == "0.1" and len(there["metrics"]["loss"]) == 3
    again = lab.export_runs(url, runs=[run.id])
    assert (again.runs, again.unchanged) == (0, 1)
    # Other tests look at all that this server has.
    server = MlflowServer(url)
    server.post("runs/delete", run_id=there["id"])
    server.close()


def test_a_server_that_is_away_is_no_fault_of_the_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    run = lab.start_run("not mirrored")
    mirror = Mirror(run)
    run.finish()
    mirror.complete()
    assert mlflow_id(run.refresh().tags) is None
