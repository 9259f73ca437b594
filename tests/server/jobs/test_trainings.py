"""Trainings in the background: each a process that outlives kernel, browser and lab server."""

import itertools
import json
import time
import uuid

import httpx
import psutil
import pyarrow as pa
import pytest

from tests.server.labeling.conftest import ARROW, LabeledProject, ipc

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


def test_what_it_logged_is_read_by_level_and_in_parts(project, trained):
    job, _ = trained
    path = f"jobs/{job['id']}/logs"
    everything = project.client.get(path).json()
    said = [line["message"] for line in everything["items"]]
    assert everything["total"] == len(said) >= 5
    assert sum("val_loss" in line for line in said) == 3
    assert project.client.get(path, params={"level": "WARNING"}).json()["items"] == []
    part = project.client.get(path, params={"limit": 2, "offset": 1}).json()
    assert [line["message"] for line in part["items"]] == said[1:3]
    assert project.client.get(path, params={"level": "LOUD"}).status_code == 422


def test_a_loss_that_is_no_number_fails_the_job_and_leaves_its_last_checkpoint(lab_server, project):
    # Decay by a hundred times the weight in every step.
    options = {"learning_rate": 10, "weight_decay": 10, "epochs": 30, "patience": 0}
    started = begun(project, recipe="text-linear", options=options, output="out/no number")
    job = ended(project.client, started["job"]["id"])
    assert (job["status"], job["result"]) == ("failed", {"error_code": "TRAINING_FAILED"})
    run = project.client.get(f"runs/{job['run_id']}").json()
    assert run["status"] == "failed" and run["error"] == job["error"]
    assert "smaller learning_rate than 10" in job["error"]
    left = (lab_server.workspace / "out" / "no number").glob("checkpoint-*")
    newest = max(left, key=lambda one: int(one.name.partition("-")[2]))
    assert {one.name for one in newest.iterdir()} == {"checkpoint.ckpt", "training_state.ckpt"}


def test_an_export_is_a_job_that_leaves_files_and_a_bundle(lab_server, project, trained):
    run = trained[0]["run_id"]
    body = {"formats": ["onnx", "triton"], "output": "out/exported"}
    begun = project.client.post(f"runs/{run}/exports", json=body)
    assert begun.status_code == 202 and begun.json()["kind"] == "export"
    job = ended(project.client, begun.json()["id"])
    assert (job["status"], job["run_id"], job["progress"]) == ("finished", run, 1), job["error"]
    assert job["result"]["validated"] and {one["format"] for one in job["result"]["files"]} == {
        "onnx",
        "triton",
    }
    folder = lab_server.workspace / "out" / "exported"
    assert all((folder / one["path"]).stat().st_size == one["bytes"] for one in job["result"]["files"])
    assert project.client.get(f"runs/{run}").json()["bundle"]
    assert project.client.get(f"runs/{run}/bundle").status_code == 200


def test_an_export_refuses_what_has_no_model(project):
    run = project.client.post("runs", json={"name": "bare", "project": project.id}).json()["id"]
    assert project.client.post(f"runs/{run}/exports", json={}).status_code == 409


def test_no_path_leads_out_of_the_workspace(project, trained):
    training, export = f"{project.path}/trainings", f"runs/{trained[0]['run_id']}/exports"
    encoder = {"recipe": "text-encoder", "options": {"encoder": "models/../../elsewhere"}}
    outside = {"output": "../elsewhere"}
    for path, body in ((training, outside), (training, encoder), (export, outside)):
        refused = project.client.post(path, json=body)
        assert refused.status_code == 403 and "workspace" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"options": {"epoch": 3}}, "epoch", "epochs"),
        ({"options": {"epochs": 0}}, "epochs", "greater"),
        ({"recipe": "text-linear", "options": {"seed": "x"}}, "seed", "integer"),
        ({"recipe": "text-tree"}, "recipe", "text-linear or text-encoder"),
        ({"recipe": "image-cnn"}, "recipe", "image_classification"),
    ],
)
def test_what_a_recipe_does_not_have_is_refused_before_there_is_a_job(project, body, field, said):
    jobs = project.client.get(f"{project.path}/jobs").json()["total"]
    refused = project.client.post(f"{project.path}/trainings", json=body)
    assert refused.status_code == 422
    detail = refused.json()["error"]["details"][0]
    assert detail["field"] == field and said in refused.json()["error"]["message"]
    assert project.client.get(f"{project.path}/jobs").json()["total"] == jobs


def test_what_cannot_be_trained_fails_with_what_to_do(lab_server):
    """The process says so itself, where only it can see that."""
    project = labeled(lab_server.client, rows=1)
    job = ended(project.client, begun(project)["job"]["id"])
    assert job["status"] == "failed" and "good" in job["error"]
    run = project.client.get(f"runs/{job['run_id']}").json()
    assert (run["status"], run["error"]) == ("failed", job["error"])
    errors = project.client.get(f"jobs/{job['id']}/logs", params={"level": "ERROR"}).json()["items"]
    assert [line["message"] for line in errors] == [job["error"]]


def test_the_server_is_killed_and_the_next_one_takes_over(start_server, tmp_path):
    """No point is lost, those that wait keep their order, and a cancelled training saves its checkpoint."""
    server = start_server(tmp_path / "lab")
    project = labeled(server.client)
    started = begun(project, options=LONG)
    job, run = started["job"]["id"], started["run"]["id"]
    second, third = (begun(project, options={"epochs": 1})["job"] for _ in range(2))
    assert (second["status"], second["position"], third["position"]) == ("waiting", 0, 1)

    until(lambda: server.client.get(f"jobs/{job}").json()["step"])
    process = pid_in(server.data_dir / "jobs" / str(job))
    token = (server.data_dir / "jobs" / str(job) / "token").read_text()
    reach_nothing_else(server, token, project, run)
    server.kill()
    assert psutil.pid_exists(process)

    server = start_server(tmp_path / "lab")
    client = project.client = server.client
    taken_over = client.get(f"jobs/{job}").json()
    assert (taken_over["status"], taken_over["run_id"]) == ("running", run)
    until(lambda: client.get(f"jobs/{job}").json()["step"] > taken_over["step"])
    assert client.get(f"jobs/{third['id']}").json()["position"] == 1
    # Of those that wait, one is cancelled and one's run is stopped: neither ever begins.
    assert client.delete(f"jobs/{second['id']}").json()["status"] == "cancelled"
    client.post(f"runs/{third['run_id']}/stop").raise_for_status()
    assert ended(client, third["id"])["status"] == "cancelled"
    for one in (second, third):
        assert client.get(f"runs/{one['run_id']}").json()["status"] == "stopped"

    assert client.delete(f"jobs/{job}").json()["cancel_requested"]
    assert ended(client, job)["status"] == "cancelled"
    assert client.delete(f"jobs/{job}").status_code == 409
    stopped = client.get(f"runs/{run}").json()
    assert stopped["status"] == "stopped" and stopped["summary"]["test_accuracy"] > 0.9
    assert client.get(f"runs/{run}/artifacts/checkpoint.ckpt").status_code == 200
    table = client.get(f"runs/{run}/metrics", params={"names": "val_loss"}, headers={"Accept": ARROW})
    steps = pa.ipc.open_stream(table.content).read_all()["step"].to_pylist()
    # One value for each epoch, also for those without a server; the last one was stopped in its middle.
    gaps = {after - before for before, after in itertools.pairwise(sorted(steps)[:-1])}
    assert len(steps) > 10 and len(gaps) == 1
    again = begun(project, resume=run)
    assert again["run"]["id"] == run
    until(lambda: client.get(f"jobs/{again['job']['id']}").json()["step"])
    gone_on = client.get(f"jobs/{again['job']['id']}").json()
    # It goes on where it was stopped, with the options that it was begun with.
    assert gone_on["step"] > max(steps) and gone_on["epochs"] == LONG["epochs"]
    assert client.get(f"runs/{run}").json()["status"] == "running"
    client.delete(f"jobs/{again['job']['id']}").raise_for_status()
    assert (
        httpx.get(f"{server.url}mlship/api/lab", headers={"Authorization": f"Bearer {token}"}).status_code
        == 401
    )


def reach_nothing_else(server, token, project, run):
    """A job's credential is good for its own run alone."""
    other = server.client.post("runs", json={"name": "other", "project": project.id}).json()["id"]
    with httpx.Client(
        base_url=server.client.base_url, headers={"Authorization": f"Bearer {token}"}
    ) as client:
        assert client.get(f"runs/{run}").status_code == client.get(project.path).status_code == 200
        for method, path in (
            ("GET", f"runs/{other}"),
            ("DELETE", f"runs/{run}"),
            ("GET", "projects"),
            ("DELETE", project.path),
            ("GET", f"{project.path}/samples"),
            ("POST", f"{project.path}/trainings"),
            ("POST", "auth/keys"),
            ("GET", "jobs"),
        ):
            assert client.request(method, path).status_code == 403, (method, path)
        elsewhere = f"{server.url}mlship/ai-manager/projects/"
        assert client.get(elsewhere).status_code in (401, 403)


def program(folder, *lines):
    """A server with other constants, which starts its jobs as it does everywhere, not as forks."""
    file = folder / "server.py"
    imports = (
        "from modelship_lab.server.__main__ import main",
        "from modelship_lab.server.extension import ModelShipLab",
        "from modelship_lab.server.jobs import jobs",
    )
    file.write_text("\n".join((*imports, *lines, "main()", "")))
    return str(file)


def test_what_ended_while_no_server_looked_is_known_to_the_next_one(start_server, tmp_path):
    """One ended with its outcome, one was killed; and what does not end when it is asked to, is killed, too."""
    at_once = "ModelShipLab.max_trainings.default_value = 3"
    blind = program(tmp_path, at_once, "jobs.LOOK_EVERY_S = 3600")
    server = start_server(tmp_path / "lab", program=blind)
    project = labeled(server.client, rows=40)
    done, killed, stubborn = (
        begun(project, options=options)["job"]["id"] for options in ({"epochs": 1}, LONG, LONG)
    )
    folders = {job: server.data_dir / "jobs" / str(job) for job in (done, killed, stubborn)}
    until((folders[done] / "outcome.json").exists)
    until(lambda: all((folders[job] / "progress.json").exists() for job in (killed, stubborn)))
    assert server.client.get(f"jobs/{done}").json()["status"] == "running"
    server.kill()
    process, token = psutil.Process(pid_in(folders[killed])), (folders[killed] / "token").read_text()
    assert token not in " ".join(process.cmdline()) and token not in str(process.environ())
    process.kill()

    hasty = program(tmp_path, at_once, "jobs.CANCEL_GRACE_S = 0.2")
    client = start_server(tmp_path / "lab", program=hasty).client
    job = ended(client, done)
    assert job["status"] == "finished" and job["result"]["run_id"] == job["run_id"]
    assert client.get(f"runs/{job['run_id']}").json()["status"] == "finished"
    job = ended(client, killed)
    assert job["status"] == "failed" and "while the lab server was away" in job["error"]
    assert client.get(f"runs/{job['run_id']}").json()["status"] == "interrupted"

    process = psutil.Process(pid_in(folders[stubborn]))
    process.suspend()  # Now it hears nothing.
    assert client.delete(f"jobs/{stubborn}").json()["cancel_requested"]
    job = ended(client, stubborn)
    assert job["status"] == "cancelled"
    run = client.get(f"runs/{job['run_id']}").json()
    assert run["status"] == "interrupted" and "was killed" in run["error"]
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def pid_in(folder):
    return json.loads((folder / "process.json").read_bytes())["pid"]


def test_a_process_that_is_killed_is_told_with_its_reason(lab_server, project):
    started = begun(project, options=LONG)
    job, run = started["job"]["id"], started["run"]["id"]
    folder = lab_server.data_dir / "jobs" / str(job)
    until((folder / "process.json").exists)
    psutil.Process(pid_in(folder)).kill()
    failed = ended(project.client, job)
    assert failed["status"] == "failed" and "memory" in failed["error"]
    assert failed["result"] == {"error_code": "INTERNAL_ERROR"}
    seen = until(lambda: one if (one := project.client.get(f"runs/{run}").json())["error"] else None)
    assert (seen["status"], seen["error"]) == ("interrupted", failed["error"])


def test_a_deleted_project_or_run_ends_its_jobs(lab_server):
    project = labeled(lab_server.client, rows=10)
    first, second = (begun(project, options=LONG) for _ in range(2))
    folder = lab_server.data_dir / "jobs" / str(first["job"]["id"])
    until((folder / "process.json").exists)
    process = psutil.Process(pid_in(folder))
    project.client.delete(f"runs/{second['run']['id']}").raise_for_status()
    assert ended(project.client, second["job"]["id"])["status"] == "cancelled"
    project.client.delete(project.path).raise_for_status()
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    assert project.client.get(f"jobs/{first['job']['id']}").status_code == 404


def test_a_training_takes_no_more_memory_than_is_allowed(start_server, tmp_path):
    small = program(tmp_path, "ModelShipLab.max_training_memory_gb.default_value = 0.01")
    server = start_server(tmp_path / "lab", program=small)
    job = ended(server.client, begun(labeled(server.client, rows=10))["job"]["id"])
    assert job["status"] == "failed" and "0.01 GB" in job["error"]
    assert server.client.get(f"runs/{job['run_id']}").json()["status"] == "interrupted"
