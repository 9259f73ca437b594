"""A worker starts, counts, refuses what is too much, and ends in order."""

import asyncio
import base64
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from modelship_lab.records.bundle import ImageScaling
from modelship_lab.records.serving import LATENCY_BOUNDS_MS
from modelship_lab.worker.app import WorkerApp
from modelship_lab.worker.statistics import KEPT_S, Statistics
from tests.bundles.examples import TEXT, image_model, table, table_model, text_model, write
from tests.bundles.test_preprocessing import encoded
from tests.worker.conftest import Worker


def test_ready_file_tells_where_and_how_long(numbers_worker: Worker) -> None:
    ready = numbers_worker.ready
    assert ready["pid"] == numbers_worker.process.pid
    assert ready["address"].startswith("http://127.0.0.1:")
    assert set(ready["cold_start_ms"]) == {"import", "load", "warm_up"}
    assert all(value > 0 for value in ready["cold_start_ms"].values())


def test_stats_count_requests_errors_and_rows(start: Callable[..., Worker]) -> None:
    worker = start()
    before = int(time.time()) - 1
    for _ in range(5):
        worker.predict([1, 2, 3, 4])
    worker.predict([[1, 2, 3, 4]] * 10)
    worker.predict([1])
    httpx.post(worker.ready["address"] + "/predict")  # a stranger, who is not counted
    time.sleep(1.1)
    stats = worker.client.get(f"/stats?since={before}").json()
    assert stats["pid"] == worker.process.pid and stats["started_at"] <= time.time()
    seconds = stats["seconds"]
    assert sum(second["requests"] for second in seconds) == 7
    assert sum(second["errors"] for second in seconds) == 1
    assert sum(second["rows"] for second in seconds) == 15
    bounds = stats["histogram_bounds_ms"]
    for second in seconds:
        assert len(second["latency_histogram"]) == len(bounds) + 1
        assert sum(second["latency_histogram"]) == second["requests"]
    assert worker.client.get(f"/stats?since={seconds[-1]['time']}").json()["seconds"] == []
    assert worker.client.get("/stats?since=yesterday").status_code == 422


def test_stats_are_kept_for_a_quarter_of_an_hour() -> None:
    clock = [1000.5]
    statistics = Statistics(lambda: clock[0])
    statistics.count(1.0, 1, False)
    assert statistics.since(0) == []  # the second is not over
    clock[0] += 1
    statistics.count(0.05, 2, True)
    statistics.count(1e9, 1, False)
    assert [second["time"] for second in statistics.since(0)] == [1000]
    clock[0] += 1
    first, second = statistics.since(0)
    assert first["latency_histogram"][LATENCY_BOUNDS_MS.index(1.0)] == 1
    assert second["latency_histogram"][0] == second["latency_histogram"][-1] == 1
    assert (second["requests"], second["errors"], second["rows"]) == (2, 1, 3)
    clock[0] += KEPT_S
    statistics.count(1.0, 1, False)
    assert statistics.since(0) == []


def test_full_queue_is_429(start: Callable[..., Worker]) -> None:
    worker = start("--max-queue", "1", "--max-batch", "1")
    body = {"data": [[1, 2, 3, 4]] * 5000}
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: worker.client.post("/predict", json=body), range(64)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["error"]["code"] == "TOO_MANY_REQUESTS"
    assert worker.predict([1, 2, 3, 4]).status_code == 200


def test_no_answer_in_time_is_504_and_the_next_is_answered(tmp_path: Path) -> None:
    spec = table(4)
    slow = write(tmp_path / "bundle", "tabular_classification", spec, table_model(spec, hidden=60_000))
    worker = Worker(slow, tmp_path, "--timeout-s", "0.1", "--threads", "1")
    try:
        answer = worker.predict([[1, 2, 3, 4]] * 10_000)
        assert answer.status_code == 504 and answer.json()["error"]["code"] == "TIMED_OUT"
        deadline = time.monotonic() + 20
        while worker.predict([1, 2, 3, 4]).status_code != 200:
            assert time.monotonic() < deadline
    finally:
        worker.client.close()
        worker.stop()


async def _before_it_is_loaded() -> dict[str, httpx.Response]:
    app = WorkerApp("spam", "v1", "key")
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://worker", headers={"Authorization": "Bearer key"}
    ) as client:
        return {
            "/predict": await client.post("/predict", json={"data": "a"}),
            "/v2/health/ready": await client.get("/v2/health/ready"),
            "/v2/models/spam/ready": await client.get("/v2/models/spam/ready"),
            "/v2/models/spam": await client.get("/v2/models/spam"),
            "/health": await client.get("/health"),
            "/v2/health/live": await client.get("/v2/health/live"),
        }


def test_while_it_loads_it_lives_but_is_not_ready() -> None:
    answers = asyncio.run(_before_it_is_loaded())
    for path, answer in answers.items():
        if path in ("/health", "/v2/health/live"):
            assert answer.status_code == 200
        else:
            assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
            assert answer.json()["error"]["code"] == "UNAVAILABLE"


def test_predictions_do_not_wait_for_explanations(tmp_path: Path) -> None:
    spec = ImageScaling(height=224, width=224, channels=1)
    bundle = write(tmp_path / "bundle", "image_classification", spec, image_model(spec))
    worker = Worker(bundle, tmp_path, "--threads", "1")
    image = base64.b64encode(encoded(Image.effect_noise((64, 64), 50))).decode()
    try:
        worker.predict({"image": image})
        with ThreadPoolExecutor(1) as other:
            explaining = other.submit(worker.predict, [{"image": image}] * 8, explain=True)
            answered_meanwhile = 0
            while not explaining.done():
                assert worker.predict({"image": image}).status_code == 200
                answered_meanwhile += not explaining.done()
            assert explaining.result().status_code == 200
        assert answered_meanwhile >= 5
    finally:
        worker.client.close()
        worker.stop()


def test_stops_in_order_under_load(start: Callable[..., Worker]) -> None:
    worker = start()
    outcomes: list[int | str] = []
    stop = threading.Event()

    def call() -> None:
        with httpx.Client(headers=worker.client.headers) as client:
            while not stop.is_set():
                try:
                    response = client.post(worker.ready["address"] + "/predict", json={"data": [1, 2, 3, 4]})
                    outcomes.append(response.status_code)
                except httpx.ConnectError:
                    return
                except httpx.RemoteProtocolError:  # the kept connection was closed while nothing was on it
                    outcomes.append("closed")
                except httpx.TransportError as error:
                    outcomes.append(repr(error))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while outcomes.count(200) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert worker.stop() == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert outcomes.count(200) >= 20
    # Nobody gets an error as an answer, and each caller loses at most the connection it kept.
    assert set(outcomes) - {200, "closed"} <= {outcome for outcome in outcomes if "ReadError" in str(outcome)}
    assert len(outcomes) - outcomes.count(200) <= 4


def run_worker(*options: str, key: str | None = "k") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "MLSHIP_WORKER_KEY"}
    if key is not None:
        environment["MLSHIP_WORKER_KEY"] = key
    return subprocess.run(
        [sys.executable, "-m", "modelship_lab.worker", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_damaged_bundle_is_told_in_one_line(tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle", "text_classification", TEXT, text_model())
    (bundle / "model.onnx").write_bytes(b"damaged")
    ended = run_worker("--bundle", str(bundle), "--name", "x", "--ready-file", str(tmp_path / "ready"))
    assert ended.returncode == 1
    assert "model.onnx" in ended.stderr and "Traceback" not in ended.stderr
    assert not (tmp_path / "ready").exists()


@pytest.mark.parametrize("key", [None, "", "with\nnewline", "ключ"])
def test_no_worker_without_a_good_key(tmp_path: Path, key: str | None) -> None:
    ended = run_worker("--bundle", str(tmp_path), "--name", "x", key=key)
    assert ended.returncode != 0 and "MLSHIP_WORKER_KEY" in ended.stderr and "Traceback" not in ended.stderr


def test_taken_port_is_told_in_one_line(numbers_worker: Worker, tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle", "text_classification", TEXT, text_model())
    port = numbers_worker.ready["address"].rpartition(":")[2]
    ended = run_worker("--bundle", str(bundle), "--name", "x", "--port", port)
    assert ended.returncode == 1 and "address" in ended.stderr.lower() and "Traceback" not in ended.stderr


def test_a_worker_loads_no_heavy_library() -> None:
    code = (
        "import sys, modelship_lab.worker.main;"
        "heavy = {'torch', 'duckdb', 'polars', 'pyarrow', 'matplotlib', 'sklearn', 'scipy', 'pandas', 'PIL'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
