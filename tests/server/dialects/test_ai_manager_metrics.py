"""What was logged is given back as AI Manager's documentation has it."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from modelship_lab import client
from tests.server.dialects.programs import is_time


def test_metrics_are_given_back_as_documented(ada):
    run = ada.run(ada.project("metrics"))
    before = datetime.now(UTC).replace(tzinfo=None)
    first = ada("POST", f"metrics/{run}", {"name": "loss", "value": 0.5, "step": 1})
    assert first.status in (200, 201)
    assert {**first.json, "timestamp": ""} == {
        "id": 1,
        "run_id": run,
        "name": "loss",
        "value": 0.5,
        "step": 1,
        "timestamp": "",
    }
    assert abs(datetime.fromisoformat(first.json["timestamp"]) - before) < timedelta(minutes=1)
    batch = {"metrics": {"loss": 0.4, "accuracy": 0.85, "learning_rate": 0.001}, "step": 2}
    assert ada("POST", f"metrics/{run}/batch", batch).json == {"message": "Logged 3 metrics successfully"}
    ada("POST", f"metrics/{run}/", {"name": "loss", "value": 0.3, "step": 3})

    points = ada("GET", f"metrics/{run}").json
    assert points[0] == first.json
    assert [(one["name"], one["value"], one["step"]) for one in points] == [
        ("loss", 0.5, 1),
        ("loss", 0.4, 2),
        ("accuracy", 0.85, 2),
        ("learning_rate", 0.001, 2),
        ("loss", 0.3, 3),
    ]
    assert [one["id"] for one in points] == [1, 2, 3, 4, 5]
    assert [one["timestamp"] for one in points] == sorted(one["timestamp"] for one in points)
    losses = ada("GET", f"metrics/{run}/?metric_name=loss").json
    assert losses == [one for one in points if one["name"] == "loss"]
    assert ada("GET", f"metrics/{run}?metric_name=loss&skip=1&limit=1").json == losses[1:2]
    assert ada("GET", f"metrics/{run}?limit=2").json == points[:2]

    history = ada("GET", f"metrics/{run}/history/loss").json
    assert history == {
        "name": "loss",
        "values": [0.5, 0.4, 0.3],
        "steps": [1, 2, 3],
        "timestamps": history["timestamps"],
    }
    assert len(history["timestamps"]) == 3 and all(is_time(one) for one in history["timestamps"])
    assert history["timestamps"] == sorted(history["timestamps"])

    summary = {one["name"]: one for one in ada("GET", f"metrics/{run}/summary").json}
    assert set(summary) == {"loss", "accuracy", "learning_rate"}
    assert summary["loss"].pop("mean_value") == pytest.approx(0.4)
    assert summary["loss"] == {
        "name": "loss",
        "current_value": 0.3,
        "min_value": 0.3,
        "max_value": 0.5,
        "total_points": 3,
    }


def test_names_may_hold_anything_and_values_need_not_be_finite(ada):
    run = ada.run(ada.project("names"))
    name = "train/größe 100% & more?#"
    body = json.dumps({"name": name, "value": 0, "step": 1}).replace('"value": 0', '"value": NaN')
    assert ada("POST", f"metrics/{run}", body).json["value"] is None
    ada("POST", f"metrics/{run}", {"name": name, "value": 7, "step": 2})
    encoded = "train%2Fgr%C3%B6%C3%9Fe%20100%25%20%26%20more%3F%23"
    history = ada("GET", f"metrics/{run}/history/{encoded}").json
    assert history["name"] == name and history["values"] == [None, 7.0] and history["steps"] == [1, 2]
    assert [one["value"] for one in ada("GET", f"metrics/{run}?metric_name={encoded}").json] == [None, 7.0]
    summary = ada("GET", f"metrics/{run}/summary").json
    assert summary[0]["min_value"] == 7 and summary[0]["total_points"] == 2
    assert ada("GET", f"metrics/{run}/history/unheard-of").json["values"] == []


def test_many_points_are_given_back_quickly_and_bounded(ada, server, tmp_path):
    run = ada.run(ada.project("many"))
    lab = client.connect(server.url, ada.token, data_dir=tmp_path)
    handle = lab.run(run)
    for step in range(20_000):
        handle.log({"loss": step}, step=step)
    assert handle.flush()
    history = ada("GET", f"metrics/{run}/history/loss").json
    assert history["values"] == [float(step) for step in range(20_000)]
    assert len(ada("GET", f"metrics/{run}").json) == 1000
    assert len(ada("GET", f"metrics/{run}?limit=1000000000").json) == 10_000
    lab.close()
