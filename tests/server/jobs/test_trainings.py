"""Trainings in the background: each a process that outlives kernel, browser and lab server."""

import json
import time
import uuid

import pyarrow as pa
import pytest

from tests.server.labeling.conftest import LabeledProject, ipc

WAIT_S = 200
"""Loading torch takes a minute on a machine that is busy enough."""
LONG = {"epochs": 10_000, "patience": 0}
"""Longer than any test."""

pytestmark = pytest.mark.slow


def labeled(client, rows=120):
    """A project with short texts of two classes."""
    name = f"background {uuid.uuid4().hex[:8]}"
    body = {"name": name, "task": "text_classification", "classes": ["bad", "good"]}
    project = LabeledProject(client, client.post("projects", json=body).raise_for_status().json())
    texts = [f"{'good fine' if row % 2 else 'bad poor'} number {row}" for row in range(rows)]
    labels = ["good" if row % 2 else "bad" for row in range(rows)]
    done = project.import_file(ipc(pa.table({"text": texts, "label": labels})), format="arrow", label="label")
    assert done["labels_added"] == rows
    return project


def begun(project, **body):
    answer = project.client.post(f"{project.path}/trainings", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def ended(client, job_id):
    """A job once it has ended."""

    def look():
        job = client.get(f"jobs/{job_id}", params={"wait_s": 20}).json()
        return job if job["status"] in ("finished", "failed", "cancelled") else None

    return until(look)


def until(condition, timeout_s=WAIT_S):
    """What a condition gives once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def project(lab_server):
    return labeled(lab_server.client)


@pytest.fixture(scope="module")
def trained(project):
    started = begun(project, options={"epochs": 3}, name="by night", tags=["background"], output="out/first")
    return ended(project.client, started["job"]["id"]), started


def test_a_training_logs_to_its_run_and_leaves_a_model(lab_server, project, trained):
    job, started = trained
    assert job["status"] == "finished", job["error"]
    assert (job["progress"], job["epoch"], job["epochs"], job["position"]) == (1, 3, 3, None)
    assert job["step"] == job["steps"] > 0
    run = project.client.get(f"runs/{job['run_id']}").json()
    assert run["id"] == started["run"]["id"] == job["result"]["run_id"]
    assert (run["status"], run["name"], run["recipe"]) == ("finished", "by night", "text-linear")
    assert run["params"]["epochs"] == 3 and run["params"]["max_ngram"] == 2
    assert run["summary"]["test_accuracy"] > 0.9
    assert project.client.get(f"runs/{run['id']}/artifacts/checkpoint.ckpt").status_code == 200
    written = lab_server.workspace / "out" / "first" / "model"
    assert json.loads((written / "run.json").read_text())["run_id"] == run["id"]
    assert (written / "checkpoint.ckpt").stat().st_size > 1000
    # Nothing of the job is left but its log.
    assert [one.name for one in (lab_server.data_dir / "jobs" / str(job["id"])).iterdir()] == ["log.jsonl"]
