"""Programs that were written for FinSight's model builder: its documentation's own client, sent to a real server."""

import asyncio
import json
import os
import random
import signal
import time

import pytest
import requests
import websockets

from tests.conftest import run_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MOUNT = "mlship/finsight"


class ModelBuilderClient:
    """As the documentation has it, word by word."""

    def __init__(self, base_url: str, api_key: str):
        self.base_url = base_url
        self.headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

    def start_training(self, data_path: str, config: dict) -> dict:
        payload = {"data_path": data_path, "config": config}
        response = requests.post(f"{self.base_url}/api/v1/training/start", headers=self.headers, json=payload)
        return response.json()

    def get_training_status(self, job_id: str) -> dict:
        response = requests.get(f"{self.base_url}/api/v1/training/{job_id}", headers=self.headers)
        return response.json()

    def export_model(self, model_path: str, format: str = "onnx") -> dict:
        payload = {"model_path": model_path, "format": format, "validate": True}
        response = requests.post(f"{self.base_url}/api/v1/export", headers=self.headers, json=payload)
        return response.json()


class Builder(ModelBuilderClient):
    """Further requests."""

    def ask(self, method, path, body=None, status=None):
        response = requests.request(
            method, f"{self.base_url}/api/v1/{path}", headers=self.headers, json=body, timeout=120
        )
        assert status is None or response.status_code == status, response.text
        return response.json()

    def hear(self, path, until, token=True):
        """What a socket says until it has said `until` for a status."""

        async def listen():
            url = f"{self.base_url.replace('http', 'ws', 1)}/ws/{path}"
            if token:
                url += f"?token={self.headers['Authorization'].split()[1]}"
            heard = []
            async with websockets.connect(url) as socket:
                while not heard or heard[-1]["data"].get("status") != until:
                    heard.append(json.loads(await asyncio.wait_for(socket.recv(), 60)))
            return heard

        return asyncio.run(listen())


def news(rows=240):
    """Short texts whose class is in their words."""
    words = random.Random(3)
    good, bad = ["profit", "gain", "rally", "record"], ["loss", "crash", "fraud", "decline"]
    return [
        {
            "text": f"{words.choice(['shares', 'coins', 'bonds'])} {words.choice(bad if row % 2 else good)} {row} today",
            "label": "negative" if row % 2 else "positive",
        }
        for row in range(rows)
    ]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finsight workspace")
    (folder / "data").mkdir()
    (folder / "data" / "news_dataset.json").write_text(json.dumps(news()))
    (folder / "data" / "one_class.jsonl").write_text(
        '{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}\n'
    )
    (folder / "data" / "broken.json").write_text('[{"text": "a"')
    return folder


@pytest.fixture(scope="module")
def server(workspace, tmp_path_factory, template):
    folder = tmp_path_factory.mktemp("finsight")
    server = run_server(folder, "--no-rate-limits", "--workspace", str(workspace), template=template)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def builder(server):
    return Builder(server.url + MOUNT, server.token)


@pytest.fixture(scope="module")
def trained(builder, workspace):
    """The one training that is shared: its first answer, what a socket said of it, and its last answer."""
    config = {"training": {"batch_size": 16, "num_epochs": 2}}
    body = {
        "data_path": "data/news_dataset.json",
        "output_dir": "outputs/training_run_123",
        "experiment_name": "crypto-sentiment-v1",
        "config": config,
    }
    started = builder.ask("POST", "training/start", body, 201)
    heard = builder.hear(f"training/{started['data']['job_id']}", "completed")
    return started, heard, builder.get_training_status(started["data"]["job_id"])


def is_success(answer):
    assert answer["success"] is True and answer["message"] and answer["correlation_id"]
    return answer["data"]


def is_error(answer, code):
    assert answer["success"] is False and answer["error"]["code"] == code, answer
    assert answer["error"]["message"] and answer["correlation_id"] and answer["timestamp"].endswith("Z")
    return answer["error"]


# Health and keys


def test_health_needs_no_credential_and_everything_else_does(builder):
    data = is_success(requests.get(f"{builder.base_url}/api/v1/health").json())
    assert data["status"] == "healthy" and set(data["dependencies"]) == {"mlflow", "gpu", "storage"}
    assert data["dependencies"]["storage"] == "accessible"
    refused = requests.get(f"{builder.base_url}/api/v1/status")
    assert refused.status_code == 401
    is_error(refused.json(), "AUTHENTICATION_ERROR")
    made = requests.post(f"{builder.base_url}/api/v1/auth/generate-key", json={"name": "x"})
    is_error(made.json(), "AUTHENTICATION_ERROR")


def test_the_status_tells_of_this_machine(builder):
    data = is_success(builder.ask("GET", "status", status=200))
    assert data["service"] == "sentiment-model-builder" and data["active_training_jobs"] >= 0
    used, total = (float(one.strip().removesuffix("GB")) for one in data["memory_usage"].split("/"))
    assert 0 < used < total and "GB / " in data["disk_usage"] and data["uptime"].endswith("s")


def test_a_key_is_made_used_listed_and_revoked(builder):
    body = {"name": "training-service", "permissions": ["train", "export", "register"]}
    made = is_success(builder.ask("POST", "auth/generate-key", body, 201))
    service = Builder(builder.base_url, made["api_key"])
    is_success(service.ask("GET", "status", status=200))
    is_error(service.ask("GET", "auth/keys", status=403), "AUTHORIZATION_ERROR")
    # These permissions are enough to train on a file in an experiment that is new.
    job = is_success(service.ask("POST", "training/start", {"data_path": "data/news_dataset.json"}, 201))
    is_success(service.ask("DELETE", f"training/{job['job_id']}", status=200))
    exporter = builder.ask("POST", "auth/generate-key", {"name": "other", "permissions": ["export"]}, 201)
    exporter = Builder(builder.base_url, is_success(exporter)["api_key"])
    refused = exporter.ask("POST", "training/start", {"data_path": "data/news_dataset.json"}, 403)
    assert "'train'" in is_error(refused, "AUTHORIZATION_ERROR")["message"]
    wrong = builder.ask("POST", "auth/generate-key", {"name": "x", "permissions": ["train", "fly"]}, 422)
    assert is_error(wrong, "VALIDATION_ERROR")["details"]["field"] == "permissions"
    listed = is_success(builder.ask("GET", "auth/keys"))["items"]
    assert [key["name"] for key in listed if key["id"] == made["id"]] == ["training-service"]
    assert made["api_key"] not in json.dumps(listed)
    is_success(builder.ask("DELETE", f"auth/keys/{made['id']}", status=200))
    is_error(service.ask("GET", "status", status=401), "AUTHENTICATION_ERROR")
    assert made["id"] not in {key["id"] for key in is_success(builder.ask("GET", "auth/keys"))["items"]}


# Training


def test_a_training_runs_as_the_documentation_has_it(trained, workspace):
    started, heard, ended = trained
    data = is_success(started)
    assert data["status"] == "started" and data["job_id"].startswith("training-job-")
    assert data["mlflow_run_id"].isdecimal() and data["estimated_duration"].endswith("m")
    assert {one["type"] for one in heard} == {"progress_update"}
    assert all(one["job_id"] == data["job_id"] and one["timestamp"] for one in heard)
    last = heard[-1]["data"]
    assert last["epoch"] == 2 and last["step"] == last["total_steps"] > 0 and last["percentage"] == 100
    assert last.keys() >= {"train_loss", "val_loss", "val_accuracy", "estimated_completion"}, heard
    done = is_success(ended)
    assert done["status"] == "completed" and done["progress"]["percentage"] == 100
    assert done["progress"]["total_epochs"] == 2 and done["progress"]["total_steps"] > 0
    assert done["metrics"].keys() >= {"train_loss", "val_loss", "val_accuracy"}
    assert all(done["metrics"][name] > 0.8 for name in ("accuracy", "f1_score", "precision", "recall"))
    assert (workspace / "outputs/training_run_123/model/checkpoint.ckpt").is_file()


def test_logs_come_by_level_and_in_pages(builder, trained):
    job = trained[0]["data"]["job_id"]
    logs = is_success(builder.ask("GET", f"training/{job}/logs"))["logs"]
    assert logs and {one["level"] for one in logs} <= {"DEBUG", "INFO", "WARNING", "ERROR"}
    second = is_success(builder.ask("GET", f"training/{job}/logs?limit=1&offset=1"))["logs"]
    assert second == logs[1:2]
    assert is_success(builder.ask("GET", f"training/{job}/logs?level=ERROR"))["logs"] == []
    is_error(builder.ask("GET", f"training/{job}/logs?level=LOUD", status=422), "VALIDATION_ERROR")


def test_what_has_ended_is_not_cancelled_and_what_runs_is(builder, trained):
    job = trained[0]["data"]["job_id"]
    is_error(builder.ask("DELETE", f"training/{job}", status=409), "RESOURCE_CONFLICT")
    long = builder.start_training("data/news_dataset.json", {"training": {"num_epochs": 9000}})
    job = is_success(long)["job_id"]
    assert is_success(builder.ask("DELETE", f"training/{job}", status=200))["status"] in (
        "cancelling",
        "cancelled",
    )
    deadline = time.monotonic() + 60
    while (told := builder.get_training_status(job)["data"]["status"]) not in ("cancelled", "failed"):
        assert told != "completed" and time.monotonic() < deadline
        time.sleep(0.3)
    assert told == "cancelled"


def test_an_experiment_takes_data_of_other_classes_and_learns_what_the_newest_file_says(
    builder, workspace, server
):
    def begun(rows, experiment="crypto-sentiment-v1"):
        (workspace / "data/other.json").write_text(json.dumps(rows))
        body = {"data_path": "data/other.json", "experiment_name": experiment}
        job = is_success(builder.ask("POST", "training/start", body, 201))["job_id"]
        builder.ask("DELETE", f"training/{job}")
        snapshot = native.get(f"jobs/{job.rpartition('-')[2]}").json()["params"]["snapshot_id"]
        return native.get(f"snapshots/{snapshot}").json()

    native = server.client
    rows = [{"text": f"the year {row}", "label": "good" if row % 2 else "dull"} for row in range(60)]
    assert begun(rows)["by_class"] == {"dull": 30, "good": 30}
    assert begun([{**row, "label": "good"} if number < 10 else row for number, row in enumerate(rows)])[
        "by_class"
    ] == {"dull": 25, "good": 35}
    # Of the file of this request alone: 10 texts are those of the files before, 20 are new.
    later = [{"text": f"the year {row}", "label": "good" if row % 2 else "dull"} for row in range(50, 80)]
    assert begun(later)["by_class"] == {"dull": 15, "good": 15}
    # And of its classes.
    three = [{"text": f"month {row}", "label": ("dull", "fair", "good")[row % 3]} for row in range(30)]
    assert begun(three, "mixed")["by_class"] == {"dull": 10, "fair": 10, "good": 10}
    assert begun(later, "mixed")["by_class"] == {"dull": 15, "good": 15}


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"config": {"preprocessing": {"text_column": "body"}}}, 422, "VALIDATION_ERROR", "text_column"),
        ({"config": {"preprocessing": {"label_column": "mood"}}}, 422, "VALIDATION_ERROR", "label_column"),
        ({"config": {"training": {"batch_size": "many"}}}, 422, "VALIDATION_ERROR", "batch_size"),
        ({"config": {"data": {"train_split": 0.9}}}, 500, "CONFIGURATION_ERROR", "data"),
        ({"config": {"training": {"backbone": "./nothing"}}}, 500, "CONFIGURATION_ERROR", "backbone"),
        ({"config": {"training": {"backbone": "../elsewhere"}}}, 403, "AUTHORIZATION_ERROR", None),
        ({"data_path": "data/one_class.jsonl"}, 422, "VALIDATION_ERROR", "label_column"),
        ({"data_path": "data/broken.json"}, 500, "DATA_ERROR", None),
        ({"data_path": "data/nothing.json"}, 404, "RESOURCE_NOT_FOUND", None),
        ({"data_path": "../../etc/passwd"}, 403, "AUTHORIZATION_ERROR", None),
        ({"output_dir": "/etc/mlship"}, 403, "AUTHORIZATION_ERROR", None),
        ({"resume_from": "outputs/nothing/checkpoint-2"}, 404, "RESOURCE_NOT_FOUND", None),
        ({"data_path": None}, 422, "VALIDATION_ERROR", "data_path"),
    ],
)
def test_what_cannot_be_trained_says_why(builder, body, status, code, field):
    whole = {"data_path": "data/news_dataset.json", "experiment_name": "refused", **body}
    error = is_error(builder.ask("POST", "training/start", whole, status), code)
    if field:
        assert error["details"]["field"] == field and error["details"]["issue"]


def test_a_backbone_that_cannot_be_had_fails_at_once_and_names_those_that_are_here(builder):
    """The hub is asked once: its own client would try again for half a minute."""
    config = {"training": {"backbone": "ProsusAI/finbert", "batch_size": 16, "learning_rate": 2e-5}}
    job = is_success(builder.start_training("data/news_dataset.json", config))["job_id"]
    last = builder.hear(f"training/{job}", "failed")[-1]["data"]
    assert "hub cannot be reached" in last["error"] and "all-MiniLM-L6-v2" in last["error"]
    told = is_success(builder.get_training_status(job))
    assert told["error_code"] == last["error_code"] == "CONFIGURATION_ERROR"
    assert told["error"] == last["error"]
    logged = is_success(builder.ask("GET", f"training/{job}/logs?level=ERROR"))["logs"]
    assert [one["message"] for one in logged] == [last["error"]]


def test_data_that_turn_out_to_be_too_few_are_told_as_such(builder, workspace):
    # Enough rows, but a text is imported once.
    rows = [{"text": text, "label": text} for text in ("up", "down")] * 5
    (workspace / "data/same.json").write_text(json.dumps(rows))
    body = {"data_path": "data/same.json", "experiment_name": "same"}
    job = is_success(builder.ask("POST", "training/start", body, 201))["job_id"]
    last = builder.hear(f"training/{job}", "failed")[-1]["data"]
    assert last["error_code"] == "DATA_ERROR" and "at least 3 labels in each of two classes" in last["error"]


def test_jobs_that_are_not_there(builder):
    is_error(builder.ask("GET", "training/training-job-999999", status=404), "RESOURCE_NOT_FOUND")
    is_error(builder.ask("GET", "export/training-job-1", status=404), "RESOURCE_NOT_FOUND")


def test_a_socket_is_closed_to_who_has_no_credential(builder, trained):
    with pytest.raises((websockets.InvalidStatus, websockets.ConnectionClosed)):
        builder.hear(f"training/{trained[0]['data']['job_id']}", "completed", token=False)


# Export and registry


@pytest.fixture(scope="module")
def training_on(builder, trained, workspace):
    """A training that goes on for as long as it is let, and has written a checkpoint."""
    config = {"training": {"num_epochs": 9000}}
    body = {"data_path": "data/news_dataset.json", "output_dir": "outputs/long", "config": config}
    job = is_success(builder.ask("POST", "training/start", body, 201))["job_id"]
    deadline = time.monotonic() + 120
    while not list((workspace / "outputs/long").glob("checkpoint-*/checkpoint.ckpt")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return job


def test_a_training_whose_process_is_killed_has_failed_and_keeps_its_checkpoint(
    builder, training_on, exported, server, workspace
):
    # The export did not wait for it.
    assert builder.get_training_status(training_on)["data"]["status"] == "running"
    folder = server.data_dir / "jobs" / training_on.rpartition("-")[2]
    os.kill(json.loads((folder / "process.json").read_bytes())["pid"], signal.SIGKILL)
    last = builder.hear(f"training/{training_on}", "failed")[-1]["data"]
    assert last["error_code"] == "TRAINING_ERROR" and "memory ran out" in last["error"]
    assert list((workspace / "outputs/long").glob("checkpoint-*/checkpoint.ckpt"))


@pytest.fixture(scope="module")
def exported(builder, trained, training_on):
    body = {
        "model_path": "outputs/training_run_123/model",
        "output_dir": "models/exported",
        "format": "onnx,torchscript,triton",
        "validate": True,
        "optimize": True,
    }
    answer = is_success(builder.ask("POST", "export", body, 201))
    heard = builder.hear(f"export/{answer['export_id']}", "completed")
    return heard, is_success(builder.ask("GET", f"export/{answer['export_id']}"))


def test_a_model_is_exported_in_every_form(exported, workspace):
    heard, answer = exported
    assert heard[-1]["export_id"] == answer["export_id"] and heard[-1]["data"]["status"] == "completed"
    assert answer["status"] == "completed" and answer["validation_passed"] is True
    assert answer["model_path"] == "outputs/training_run_123/model"
    assert answer["output_path"] == "models/exported/model.onnx" and answer["file_size"].endswith("B")
    assert all((workspace / one["path"]).is_file() for one in answer["files"])
    assert {one["format"] for one in answer["files"]} == {
        "onnx", "torchscript", "triton", "onnx-optimized", "onnx-int8",
    }  # fmt: skip
    assert json.loads((workspace / answer["report_path"]).read_text())["source_accuracy"] > 0.8


def test_what_cannot_be_exported_says_why(builder, trained):
    for body, status, code in (
        ({"format": "coreml"}, 422, "VALIDATION_ERROR"),
        ({"format": "onnx", "model_path": "data"}, 404, "RESOURCE_NOT_FOUND"),
        ({"format": "onnx", "output_dir": "../elsewhere"}, 403, "AUTHORIZATION_ERROR"),
        ({}, 422, "VALIDATION_ERROR"),
    ):
        whole = {"model_path": "outputs/training_run_123/model", **body}
        is_error(builder.ask("POST", "export", whole, status), code)


def test_a_model_goes_through_its_stages_and_is_deleted(builder, trained, exported, server):
    run = trained[0]["data"]["mlflow_run_id"]
    body = {
        "model_path": "outputs/training_run_123/model",
        "run_id": run,
        "name": "crypto-sentiment-model",
        "description": "Crypto news sentiment analysis model",
        "stage": "Staging",
        "tags": {"team": "news"},
        "metadata": {"accuracy": 0.89},
    }
    wrong = builder.ask("POST", "registry/register", {**body, "run_id": "mlflow-run-456"}, 422)
    assert is_error(wrong, "VALIDATION_ERROR")["details"]["field"] == "run_id"
    first, second = (is_success(builder.ask("POST", "registry/register", body, 201)) for _ in range(2))
    assert first["model_uri"] == "models:/crypto-sentiment-model/1" and first["stage"] == "Staging"
    assert second["version"] == 2 and second["registered_at"].endswith("Z")
    path = "registry/models/crypto-sentiment-model/versions"
    change = {"stage": "Production", "comment": "Promoting to production after validation"}
    moved = is_success(builder.ask("PUT", f"{path}/1/stage", change, 200))
    assert moved["stage"] == "Production" and moved["comment"] == change["comment"]
    listed = is_success(builder.ask("GET", "registry/models?stage=Production&limit=10"))
    item = next(one for one in listed["items"] if one["name"] == "crypto-sentiment-model")
    assert item["version"] == "1.0.0" and item["metadata"] == {"accuracy": 0.89}
    assert item["tags"] == {"team": "news"}
    page = is_success(builder.ask("GET", "registry/models?name=crypto-sentiment-model&limit=1"))["pagination"]
    assert page == {
        "page": 1, "per_page": 1, "total": 2, "total_pages": 2, "has_next": True, "has_prev": False,
    }  # fmt: skip
    native = {"Authorization": f"Bearer {server.token}"}
    deploy = {"model": "crypto-sentiment-model/1", "name": "crypto-api"}
    made = requests.post(f"{server.url}mlship/api/deployments", json=deploy, headers=native)
    assert made.status_code < 300, made.text
    error = is_error(builder.ask("DELETE", f"{path}/1", status=409), "RESOURCE_CONFLICT")
    assert "crypto-api" in error["message"]
    requests.delete(f"{server.url}mlship/api/deployments/crypto-api", headers=native)
    is_success(builder.ask("DELETE", f"{path}/2", status=200))
    is_success(builder.ask("DELETE", f"{path}/1", status=200))
    is_error(builder.ask("DELETE", f"{path}/1", status=404), "RESOURCE_NOT_FOUND")
    is_error(builder.ask("PUT", f"{path}/1/stage", {"stage": "Loud"}, 422), "VALIDATION_ERROR")


# Data


def test_data_is_validated(builder):
    good = is_success(
        builder.ask("POST", "data/validate", {"data_path": "data/news_dataset.json", "format": "json"}, 200)
    )
    assert good["valid"] is True and good["row_count"] == 240
    assert good["label_distribution"] == {"negative": 120, "positive": 120}
    bad = is_success(builder.ask("POST", "data/validate", {"data_path": "data/one_class.jsonl"}))
    assert bad["valid"] is False and bad["errors"][0]["code"] == "one_class"
    is_error(builder.ask("POST", "data/validate", {"data_path": "data/broken.json"}, 500), "DATA_ERROR")
    unread = {"data_path": "data/news_dataset.json", "format": "xml"}
    unread = is_error(builder.ask("POST", "data/validate", unread, 422), "VALIDATION_ERROR")
    assert unread["details"]["field"] == "format"


def test_a_report_is_written_where_it_is_wanted(builder, workspace):
    body = {"data_path": "data/news_dataset.json", "output_path": "reports/data_analysis.html"}
    assert is_success(builder.ask("POST", "data/report", body, 200))["output_path"] == body["output_path"]
    page = (workspace / "reports/data_analysis.html").read_text()
    assert "Class balance" in page and "<script" not in page and "<svg" in page
    outside = {**body, "output_path": "../report.html"}
    is_error(builder.ask("POST", "data/report", outside, 403), "AUTHORIZATION_ERROR")
