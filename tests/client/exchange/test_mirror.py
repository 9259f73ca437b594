"""Runs that are at a real MLflow server while they go on."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelship_lab.client import Lab
from modelship_lab.client.exchange.mirror import Mirror
from modelship_lab.client.exchange.mlflow_server import MlflowServer
from modelship_lab.records.tracking import mlflow_id
from tests.client.exchange.conftest import Asked, told
from tests.conftest import LabServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_run_is_at_mlflow_from_its_beginning_and_whole_after_its_end(
    lab: Lab,
    mlflow_server: tuple[str, Path],
    mlflow: Asked,
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


def test_finsights_trainings_and_models_are_at_mlflow(
    mlflow_server: tuple[str, Path],
    start_server: Callable[..., LabServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run has MLflow's id from the first answer on; versions go there, through their stages, and away again."""
    url, _ = mlflow_server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    lab = start_server(tmp_path / "lab")
    rows = [
        {"text": f"{('gain', 'loss')[row % 2]} {row}", "label": ("up", "down")[row % 2]} for row in range(40)
    ]
    (lab.workspace / "news.json").write_text(json.dumps(rows))
    finsight = httpx.Client(
        base_url=f"{lab.url}mlship/finsight/api/v1/", headers=lab.client.headers, timeout=60
    )

    def data(method: str, path: str, **body: Any) -> Any:
        answer = finsight.request(method, path, json=body or None)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    def until(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 200
        while not condition():
            assert time.monotonic() < deadline, "it did not come to pass"
            time.sleep(0.05)

    assert data("GET", "health")["dependencies"]["mlflow"] == "connected"
    config = {"training": {"num_epochs": 1, "batch_size": 8}}
    started = data(
        "POST",
        "training/start",
        data_path="news.json",
        output_dir="out",
        experiment_name="mirrored coins",
        config=config,
    )
    run_id = started["mlflow_run_id"]
    server = MlflowServer(url)
    assert server.get("runs/get", run_id=run_id)["run"]["info"]["status"] == "RUNNING"
    until(lambda: data("GET", f"training/{started['job_id']}")["status"] not in ("pending", "running"))
    told = data("GET", f"training/{started['job_id']}")
    assert (told["status"], told["mlflow_run_id"]) == ("completed", run_id), told
    there = server.get("runs/get", run_id=run_id)["run"]
    assert there["info"]["status"] == "FINISHED" and there["data"]["metrics"]
    assert server.get("artifacts/list", run_id=run_id)["files"]

    body = {"model_path": "out/model", "run_id": run_id, "name": "mirrored-coins", "tags": {"team": "news"}}
    assert data("POST", "registry/register", **body)["version"] == 1

    def versions() -> list[dict[str, Any]]:
        return server.get("model-versions/search", filter="name='mirrored-coins'").get("model_versions", [])

    until(lambda: [one["current_stage"] for one in versions()] == ["Staging"])
    (made,) = versions()
    assert made["run_id"] == run_id and {"key": "team", "value": "news"} in made["tags"]
    place = {"run_id": run_id, "path": made["source"].partition("/artifacts/")[2]}
    files = httpx.get(f"{url}/api/2.0/mlflow/artifacts/list", params=place).json()["files"]
    assert {"model.onnx", "bundle.json"} <= {one["path"].rpartition("/")[2] for one in files}
    data("PUT", "registry/models/mirrored-coins/versions/1/stage", stage="Production")
    until(lambda: versions()[0]["current_stage"] == "Production")
    data("DELETE", "registry/models/mirrored-coins/versions/1")
    until(lambda: not versions())
    # Other tests look at all that this server has.
    server.post("runs/delete", run_id=run_id)
    server.close()


def test_a_server_that_is_away_is_no_fault_of_the_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    run = lab.start_run("not mirrored")
    mirror = Mirror(run)
    run.finish()
    mirror.complete()
    assert mlflow_id(run.refresh().tags) is None
