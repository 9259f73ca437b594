"""The figures of a deployment, at the API and on the live socket."""

import time
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from modelship_lab.records.serving import LATENCY_BOUNDS_MS
from tests.conftest import LabServer
from tests.server.api.test_live import hear, live
from tests.server.shipping import deployed, registered


def test_every_request_is_counted_in_its_second(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    deployed(client, registered(client, tmp_path, "counted requests"), "counted")
    begun = time.time()
    for _ in range(10):
        client.post("deployments/counted/predict", json={"data": ["a", "b", "c"]}).raise_for_status()
    for _ in range(3):
        assert client.post("deployments/counted/predict", json={"data": [1]}).status_code == 422
    ended = time.time()
    time.sleep(1.05)
    # Nothing to wait for: the second that has just ended is in it.
    metrics = client.get("deployments/counted/metrics", params={"window_s": 30}).raise_for_status().json()
    total, series = metrics["total"], metrics["series"]
    assert (total["requests"], total["errors"], total["rows"]) == (13, 3, pytest.approx(30, abs=3))
    assert 0 < total["p50_ms"] <= total["p95_ms"] <= total["p99_ms"]
    assert len(series) == metrics["window_s"] == 30
    times = [datetime.fromisoformat(one["time"]).timestamp() for one in series]
    assert times == [times[0] + offset for offset in range(30)]
    assert total["time"] == series[0]["time"]
    busy = [time for time, one in zip(times, series, strict=True) if one["requests"]]
    assert int(begun) <= min(busy) <= max(busy) <= int(ended)
    assert sum(one["requests"] for one in series) == 13
    idle = next(one for one in series if not one["requests"])
    assert (idle["errors"], idle["rows"], idle["p99_ms"]) == (0, 0, None)


def test_figures_outlive_the_worker(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    model = registered(client, tmp_path, "outlived")
    deployed(client, model, "outlived")
    for _ in range(5):
        client.post("deployments/outlived/predict", json={"data": "x"}).raise_for_status()
    deployed(client, model, "outlived")
    for _ in range(4):
        client.post("deployments/outlived/predict", json={"data": "x"}).raise_for_status()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        total = client.get("deployments/outlived/metrics").json()["total"]
        if total["requests"] == 9:
            break
        time.sleep(0.2)
    assert total["requests"] == 9


def test_who_listens_gets_every_second(lab_server: LabServer, tmp_path: Path) -> None:
    client = lab_server.client
    deployment = deployed(client, registered(client, tmp_path, "watched"), "watched")
    topic = f"deployment:{deployment['id']}"
    with live(lab_server, topic) as socket:
        for _ in range(5):
            client.post("deployments/watched/predict", json={"data": "x"}).raise_for_status()
        windows = []
        while len(windows) < 3:
            message = hear(socket)
            if message["type"] == "deployment":
                assert message["topic"] == topic
                windows.append(message["window"])
    assert sum(window["requests"] for window in windows) == 5
    times = [datetime.fromisoformat(window["time"]).timestamp() for window in windows]
    assert times == [times[0], times[0] + 1, times[0] + 2]


@pytest.mark.parametrize("window_s", [0, -5, 10**9])
def test_a_window_has_a_sensible_length(lab_server: LabServer, tmp_path: Path, window_s: int) -> None:
    answer = lab_server.client.get("deployments/nobody/metrics", params={"window_s": window_s})
    assert answer.status_code == 422
    assert lab_server.client.get("deployments/nobody/metrics").status_code == 404


def test_workers_count_in_the_bins_that_are_read_here(lab_server: LabServer, tmp_path: Path) -> None:
    deployment = deployed(lab_server.client, registered(lab_server.client, tmp_path, "binned"), "binned")
    headers = {"Authorization": f"Bearer {deployment['key']}"}
    stats = httpx.get(deployment["address"] + "/stats", params={"since": 0}, headers=headers).json()
    assert tuple(stats["histogram_bounds_ms"]) == LATENCY_BOUNDS_MS
