"""Deployments on a real lab server with real workers."""

import base64
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from modelship_lab.bundles.pack import MODEL
from modelship_lab.bundles.run import BundleModel
from modelship_lab.records.bundle import ImageScaling
from tests.bundles.examples import image_model, write
from tests.conftest import LabServer
from tests.server.shipping import (
    deployed,
    exported_run,
    registered,
    settled,
    tar_of,
    worker_processes,
)


def predict(client: httpx.Client, name: str, data: object, **more: object) -> httpx.Response:
    return client.post(f"deployments/{name}/predict", json={"data": data, **more})


def direct(deployment: dict, path: str = "/predict", **settings: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {deployment['key']}"}
    return httpx.post(deployment["address"] + path, headers=headers, json={"data": "won"}, **settings)


def processes_of(lab: LabServer, deployment: dict) -> list[psutil.Process]:
    return worker_processes(lab.data_dir, f"/workers/{deployment['id']}-v")


def process_of(lab: LabServer, deployment: dict) -> psutil.Process:
    (found,) = processes_of(lab, deployment)
    return found


def wait_for(what, timeout_s: float = 10.0):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if result := what():
            return result
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def test_a_deployed_model_answers_as_its_bundle_does(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    model = registered(client, tmp_path, "answering")
    answer = client.post("deployments", json={"model": model, "name": "answers"})
    assert answer.status_code == 202
    assert answer.json()["status"] == "starting"
    assert answer.json()["address"] is None
    deployment = settled(client, "answers")
    assert (deployment["status"], deployment["version"], deployment["model"]) == ("ready", 1, "answering/1")
    assert (deployment["task"], deployment["classes"]) == ("text_classification", ["ham", "spam", "other"])
    split = deployment["cold_start_ms"]
    assert sum(split[part] for part in ("spawn", "import", "load", "warm_up")) == pytest.approx(
        split["total"]
    )
    assert client.get(f"deployments/{deployment['id']}").json() == deployment
    assert deployment in client.get("deployments").json()["items"]

    texts = ["you won a prize", "see you at lunch"]
    truth = BundleModel(tmp_path / "answering-0").predict(texts)
    one = predict(client, "answers", texts[0], explain=True).json()
    assert one["prediction"] == truth[0].prediction
    assert one["probabilities"] == pytest.approx(truth[0].probabilities, abs=1e-5)
    assert one["explanation"]["parts"] == ["you", "won", "a", "prize"]
    assert one["model_version"] == "v1"
    both = predict(client, "answers", texts).json()
    assert both["predictions"] == [each.prediction for each in truth]
    assert direct(deployment).json()["prediction"]


def test_an_image_is_predicted_from_its_bytes(lab_server: LabServer, tmp_path: Path) -> None:
    spec = ImageScaling(height=14, width=14, channels=1)
    folder = write(tmp_path / "digits", "image_classification", spec, image_model(spec))
    run = exported_run(lab_server.client, tar_of(folder))
    lab_server.client.post("models", json={"name": "digits", "run_id": run}).raise_for_status()
    deployed(lab_server.client, "digits/1", "digits")
    png = BytesIO()
    Image.linear_gradient("L").save(png, "PNG")
    truth = BundleModel(folder).predict([png.getvalue()])[0]
    path = "deployments/digits/predict"
    raw = lab_server.client.post(path, content=png.getvalue(), headers={"Content-Type": "image/png"}).json()
    text = base64.b64encode(png.getvalue()).decode()
    encoded = predict(lab_server.client, "digits", {"image": text}).json()
    assert raw["prediction"] == encoded["prediction"] == truth.prediction
    assert raw["probabilities"] == pytest.approx(truth.probabilities, abs=1e-5)


def test_mistakes_are_answered_in_the_one_shape(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    model = registered(client, tmp_path, "mistaken")
    deployed(client, model, "mistakes")

    def error(answer: httpx.Response) -> tuple[int, str]:
        assert answer.json()["request_id"]
        return answer.status_code, answer.json()["error"]["code"]

    assert error(predict(client, "mistakes", [1])) == (422, "INVALID_INPUT")
    assert error(client.post("deployments/mistakes/predict", content=b"{")) == (422, "INVALID_INPUT")
    assert error(predict(client, "nobody", "x")) == (404, "NOT_FOUND")
    assert error(client.get("deployments/nobody")) == (404, "NOT_FOUND")
    assert error(client.delete("deployments/nobody")) == (404, "NOT_FOUND")
    assert error(client.post("deployments", json={"model": "mistaken", "name": "x"})) == (
        422,
        "INVALID_INPUT",
    )
    assert error(client.post("deployments", json={"model": "mistaken/9", "name": "x"})) == (404, "NOT_FOUND")
    assert error(client.get("deployments/mistakes?wait_s=nan")) == (422, "INVALID_INPUT")
    far = {"model": f"mistaken/{2**70}", "name": "x"}
    assert error(client.post("deployments", json=far)) == (404, "NOT_FOUND")
    assert client.get("deployments/x").status_code == 404


def test_secrets_stay_where_they_belong(lab_server: LabServer, tmp_path: Path) -> None:
    deployment = deployed(lab_server.client, registered(lab_server.client, tmp_path, "secret"), "secret")
    key = deployment["key"]
    assert len(key) >= 32
    process = process_of(lab_server, deployment)
    assert not any(key in part for part in process.cmdline())
    assert lab_server.token not in process.environ().values()
    assert httpx.post(deployment["address"] + "/predict", json={"data": "x"}).status_code == 401
    assert key not in lab_server.log_file.read_text()
    events = lab_server.client.get("events", params={"limit": 1000}).text
    assert key not in events
    for log in (lab_server.data_dir / "workers").rglob("*.log"):
        assert key not in log.read_text()


def test_a_new_version_takes_over_under_load_without_a_failed_request(
    lab_server: LabServer, tmp_path: Path
) -> None:
    client = lab_server.client
    first, second, third = (registered(client, tmp_path, "changing", seed) for seed in (1, 2, 3))
    deployment = deployed(client, first, "changing")
    old = process_of(lab_server, deployment)
    answers: list[tuple[float, int, str]] = []
    done = threading.Event()

    def load() -> None:
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=30) as own:
            while not done.is_set():
                answer = predict(own, "changing", "you won a prize")
                answers.append((time.monotonic(), answer.status_code, answer.json().get("model_version", "")))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for model, version in ((second, "v2"), (third, "v3")):
            answer = client.post("deployments", json={"model": model, "name": "changing"}).json()
            assert answer["id"] == deployment["id"]
            wait_for(lambda wanted=version: answers and answers[-1][2] == wanted)
        time.sleep(0.3)
    finally:
        done.set()
        for thread in threads:
            thread.join()

    assert {status for _, status, _ in answers} == {200}
    assert {version for _, _, version in answers} == {"v1", "v2", "v3"}
    assert len(answers) > 100
    now = settled(client, "changing")
    assert (now["version"], now["model"], now["status"]) == (3, "changing/3", "ready")
    assert [(one["version"], one["status"], one["is_current"]) for one in now["versions"]] == [
        (1, "stopped", False),
        (2, "stopped", False),
        (3, "ready", True),
    ]
    assert now["key"] == deployment["key"]
    wait_for(lambda: not old.is_running())
    # Every answer was counted once, those of the versions that are gone too.
    time.sleep(1.2)
    total = client.get("deployments/changing/metrics", params={"window_s": 120}).json()["total"]
    assert total["requests"] == len(answers)
    assert total["errors"] == 0


def test_versions_asked_for_at_once_end_with_the_newest(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    models = [registered(client, tmp_path, "hasty", seed) for seed in (1, 2, 3)]
    for model in models:
        client.post("deployments", json={"model": model, "name": "hasty"}).raise_for_status()
    deployment = settled(client, "hasty")
    assert (deployment["status"], deployment["version"], deployment["model"]) == ("ready", 3, "hasty/3")
    assert predict(client, "hasty", "x").json()["model_version"] == "v3"
    assert [one["is_current"] for one in deployment["versions"]] == [False, False, True]
    wait_for(lambda: len(processes_of(lab_server, deployment)) == 1)


def test_a_version_that_does_not_start_leaves_the_old_one(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    good = registered(client, tmp_path, "fragile", seed=1)
    bad = registered(client, tmp_path, "fragile", seed=2)
    bundle = client.get("models/fragile/versions/2").json()["bundle"]
    file = lab_server.data_dir / "bundles" / bundle / MODEL
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    deployment = deployed(client, good, "fragile")
    client.post("deployments", json={"model": bad, "name": "fragile"}).raise_for_status()
    now = settled(client, "fragile")
    assert (now["status"], now["version"], now["address"]) == ("ready", 1, deployment["address"])
    assert now["versions"][1]["status"] == "failed"
    assert "model.onnx" in now["error"]
    assert "v2" in now["error"]
    for private in (str(lab_server.data_dir), now["key"], "Traceback", 'File "'):
        assert private not in now["error"]
    assert predict(client, "fragile", "x").json()["model_version"] == "v1"

    client.post("deployments", json={"model": bad, "name": "broken"}).raise_for_status()
    broken = settled(client, "broken")
    assert (broken["status"], broken["address"]) == ("failed", None)
    assert "model.onnx" in broken["error"]
    refused = predict(client, "broken", "x")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "UNAVAILABLE")
    # It is not the end: a version that starts takes over.
    client.post("deployments", json={"model": good, "name": "broken"}).raise_for_status()
    assert settled(client, "broken")["status"] == "ready"
    assert predict(client, "broken", "x").json()["model_version"] == "v2"


def test_a_killed_worker_is_started_again_and_nobody_else_notices(
    lab_server: LabServer, tmp_path: Path
) -> None:
    client = lab_server.client
    model = registered(client, tmp_path, "killed")
    victim, other = deployed(client, model, "victim"), deployed(client, model, "other")
    process, neighbor = process_of(lab_server, victim), process_of(lab_server, other)
    process.kill()
    assert predict(client, "victim", "you won").status_code == 200
    again = wait_for(lambda: (one := settled(client, "victim"))["status"] == "ready" and one)
    assert (again["restarts"], again["version"], again["error"]) == (1, 1, "")
    assert again["address"] == victim["address"], "who calls it directly need not notice"
    assert direct(again).status_code == 200
    assert process_of(lab_server, victim).pid != process.pid
    assert process_of(lab_server, other).pid == neighbor.pid
    assert settled(client, "other") == other
    events = client.get("events", params={"topic": f"deployment:{victim['id']}"}).json()["items"]
    assert [event["type"] for event in events] == [
        "deployment.created",
        "deployment.starting",
        "deployment.ready",
        "deployment.restarted",
    ]


def test_killing_workers_under_load_fails_no_request(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    deployment = deployed(client, registered(client, tmp_path, "shot"), "shot")
    statuses: list[int] = []
    done = threading.Event()

    def load() -> None:
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=30) as own:
            while not done.is_set():
                statuses.append(predict(own, "shot", "you won a prize").status_code)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for restarts in (1, 2):
            process_of(lab_server, deployment).kill()
            wait_for(lambda wanted=restarts: settled(client, "shot")["restarts"] == wanted)
            wait_for(lambda: settled(client, "shot")["status"] == "ready")
            before = len(statuses)
            wait_for(lambda seen=before: len(statuses) > seen + 50)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}


def test_a_deleted_deployment_is_gone_and_its_name_is_free(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    model = registered(client, tmp_path, "deleted")
    deployment = deployed(client, model, "short lived")
    process = process_of(lab_server, deployment)
    assert client.delete("deployments/short%20lived").status_code == 204
    assert client.get("deployments/short%20lived").status_code == 404
    assert client.get(f"deployments/{deployment['id']}").status_code == 404
    assert predict(client, "short%20lived", "x").status_code == 404
    wait_for(lambda: not process.is_running())
    again = deployed(client, model, "short lived")
    assert again["id"] != deployment["id"]
    assert again["version"] == 1
    assert again["key"] != deployment["key"]


def test_a_worker_that_does_not_answer_is_a_timeout(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    deployment = deployed(client, registered(client, tmp_path, "slow"), "slow", timeout_s=0.2)
    process = process_of(lab_server, deployment)
    process.suspend()
    try:
        answer = predict(client, "slow", "x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "TIMED_OUT")
    finally:
        process.resume()
    assert predict(client, "slow", "x").status_code == 200


def test_a_request_whose_worker_dies_under_it_is_asked_again(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    deployment = deployed(client, registered(client, tmp_path, "lost"), "lost")
    process = process_of(lab_server, deployment)
    # So that the request is with the worker, unanswered, when that dies.
    process.suspend()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(predict, client, "lost", "you won a prize")
        time.sleep(0.3)
        assert not waiting.done()
        process.kill()
        answer = waiting.result(30)
    assert answer.status_code == 200, answer.text
    assert settled(client, "lost")["restarts"] == 1


def test_a_full_queue_says_when_to_come_back(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    model = registered(client, tmp_path, "busy")
    deployment = deployed(client, model, "busy", max_batch=1, max_queue=1)
    process = process_of(lab_server, deployment)
    process.suspend()
    with ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(predict, client, "busy", ["you won a prize"] * 50) for _ in range(40)]
        time.sleep(0.5)
        process.resume()
        answers = [one.result(30) for one in waiting]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) < 40
    assert refused
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "TOO_MANY_REQUESTS")
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.headers["X-Request-ID"] == answer.json()["request_id"]


@pytest.mark.slow
def test_a_worker_that_dies_again_and_again_is_given_up(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    deployment = deployed(client, registered(client, tmp_path, "dying"), "dying")
    deadline = time.monotonic() + 60
    while (now := settled(client, "dying"))["status"] == "ready" and time.monotonic() < deadline:
        for process in processes_of(lab_server, deployment):
            process.send_signal(signal.SIGKILL)
        time.sleep(0.3)
    assert now["status"] == "failed"
    assert "given up" in now["error"]
    assert now["restarts"] == 6
    assert predict(client, "dying", "x").status_code == 503
    time.sleep(1)
    assert not processes_of(lab_server, deployment)
