"""Runs through the API of a real lab server."""

import math
from datetime import UTC, datetime

import pyarrow as pa
import pytest

ARROW = "application/vnd.apache.arrow.stream"


def new_run(client, **fields):
    answer = client.post("runs", json={"name": "a run", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def stream(names, steps, values, **columns):
    table = pa.table(
        {
            "name": pa.array(names, pa.string()),
            "step": pa.array(steps, pa.int64()),
            "time": pa.array([datetime.now(UTC)] * len(names), pa.timestamp("us", "UTC")),
            "value": pa.array(values, pa.float64()),
            **columns,
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def nothing_but_nulls(rows):
    columns = {name: pa.nulls(rows) for name in ("name", "step", "time", "value")}
    sink = pa.BufferOutputStream()
    batch = pa.record_batch(columns)
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def log(client, run, body, producer="p", sequence=1):
    return client.post(
        f"runs/{run['id']}/metrics",
        params={"producer": producer, "sequence": sequence},
        content=body,
        headers={"Content-Type": ARROW},
    )


def raw(client, run):
    answer = client.get(f"runs/{run['id']}/metrics", headers={"Accept": ARROW})
    return pa.ipc.open_stream(answer.content).read_all()


def test_a_run_keeps_what_it_was_given(lab_server):
    client = lab_server.client
    run = new_run(
        client,
        recipe="text-linear",
        params={"lr": 0.1, "layers": [1, 2]},
        tags=["x"],
        environment={"gpu": None},
    )
    read = client.get(f"runs/{run['id']}").json()
    assert read == run
    assert read["status"] == "running"
    assert read["params"] == {"lr": 0.1, "layers": [1, 2]}
    assert read["environment"] == {"gpu": None}
    assert read["ended_at"] is None


def test_creating_with_a_key_is_repeatable(lab_server):
    first = new_run(lab_server.client, key="create-once-123")
    second = new_run(lab_server.client, key="create-once-123")
    assert first["id"] == second["id"]


def test_params_and_summary_are_merged_and_an_end_has_a_time(lab_server):
    client = lab_server.client
    run = new_run(client, params={"a": 1})
    client.patch(f"runs/{run['id']}", json={"params": {"b": 2}, "summary": {"accuracy": 0.5}})
    done = client.patch(
        f"runs/{run['id']}",
        json={"status": "finished", "summary": {"f1": 0.4}, "notes": "good", "tags": ["best"]},
    ).json()
    assert done["params"] == {"a": 1, "b": 2}
    assert done["summary"] == {"accuracy": 0.5, "f1": 0.4}
    assert (done["notes"], done["tags"], done["status"]) == ("good", ["best"], "finished")
    assert done["ended_at"] is not None


def test_the_newest_runs_come_first_and_pages_meet(lab_server):
    client = lab_server.client
    ids = [new_run(client, name=f"page {number}")["id"] for number in range(5)]
    first = client.get("runs", params={"limit": 2}).json()
    second = client.get("runs", params={"limit": 3, "offset": 2}).json()
    assert [run["id"] for run in first["items"] + second["items"]] == ids[::-1]
    table = pa.ipc.open_stream(client.get("runs", headers={"Accept": ARROW}).content).read_all()
    assert table["id"].to_pylist()[:5] == ids[::-1]


def test_metrics_come_back_as_they_were_sent(lab_server):
    client = lab_server.client
    run = new_run(client)
    values = [0.5, math.nan, math.inf, -math.inf, 1e-300]
    answer = log(client, run, stream(["loss"] * 5, [1, 2, 3, 4, -1], values))
    assert answer.json() == {"accepted": 5, "duplicate": False, "stop": False, "first_number": 1}
    table = raw(client, run)
    assert table["step"].to_pylist() == [1, 2, 3, 4, -1]
    assert [str(value) for value in table["value"].to_pylist()] == [str(value) for value in values]
    (series,) = client.get(f"runs/{run['id']}/metrics").json()["series"]
    assert (series["name"], series["context"], series["points"]) == ("loss", {}, 5)
    assert series["steps"] == [-1, 1, 2, 3, 4]
    assert series["values"] == [1e-300, 0.5, None, None, None]
    assert [(one["step"], one["kind"]) for one in series["nonfinite"]] == [
        (2, "nan"),
        (3, "inf"),
        (4, "-inf"),
    ]
    assert series["nonfinite_count"] == 3


def test_a_batch_sent_again_is_stored_once(lab_server):
    client = lab_server.client
    run = new_run(client)
    first, second, third = (stream(["loss"], [step], [1.0]) for step in (1, 2, 3))
    assert log(client, run, first, sequence=1).json()["accepted"] == 1
    again = log(client, run, first, sequence=1).json()
    assert again == {"accepted": 0, "duplicate": True, "stop": False, "first_number": None}
    assert log(client, run, second, sequence=2).json()["first_number"] == 2
    assert log(client, run, third, producer="other", sequence=1).json()["first_number"] == 3
    assert raw(client, run).num_rows == 3
    assert client.get(f"runs/{run['id']}/metrics").json()["sequence"] == 3


def test_json_points_need_no_producer_and_are_all_stored(lab_server):
    client = lab_server.client
    run = new_run(client)
    for step in range(3):
        answer = client.post(
            f"runs/{run['id']}/metrics", json={"points": [{"name": "a", "value": 1, "step": step}]}
        )
        assert answer.json()["accepted"] == 1
    assert raw(client, run)["step"].to_pylist() == [0, 1, 2]


def test_a_long_series_is_reduced_without_losing_its_spikes(lab_server):
    client = lab_server.client
    run = new_run(client)
    count = 50_000
    values = [1.0] * count
    values[31_234] = 100.0
    values[44_321] = -100.0
    log(client, run, stream(["loss"] * count, list(range(count)), values))
    answer = client.get(f"runs/{run['id']}/metrics", params={"max_points": 200, "names": "loss"})
    (series,) = answer.json()["series"]
    assert series["reduced"] is True
    assert len(series["values"]) <= 200
    assert (max(series["high"]), min(series["low"])) == (100.0, -100.0)
    assert series["steps"] == list(range(0, count, 250)) and series["counts"] == [250] * 200
    assert series["high"].index(100.0) == 31_234 // 250 and series["low"].index(-100.0) == 44_321 // 250
    assert series["values"][31_234 // 250] == pytest.approx((249 + 100) / 250)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not arrow at all",
        stream(["loss"], [1], [1.0])[:100],
        stream([None], [1], [1.0]),
        stream(["n" * 300], [1], [1.0]),
        nothing_but_nulls(10**9),
    ],
    ids=["empty", "text", "truncated", "no name", "long name", "a thousand million rows"],
)
def test_bad_metrics_are_refused_and_store_nothing(lab_server, body):
    client = lab_server.client
    run = new_run(client)
    answer = log(client, run, body)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "INVALID_DATA"
    assert raw(client, run).num_rows == 0


def test_a_stop_reaches_the_run_with_its_next_words(lab_server):
    client = lab_server.client
    run = new_run(client)
    assert client.post(f"runs/{run['id']}/heartbeat").json() == {"stop": False}
    assert client.post(f"runs/{run['id']}/stop").json()["stop_requested"] is True
    assert client.post(f"runs/{run['id']}/heartbeat").json() == {"stop": True}
    assert log(client, run, stream(["a"], [1], [1.0])).json()["stop"] is True
    client.patch(f"runs/{run['id']}", json={"status": "stopped"})
    again = client.post(f"runs/{run['id']}/stop")
    assert again.status_code == 409
    assert "is stopped" in again.json()["error"]["message"]


def test_artifacts_are_replaced_by_name_and_never_shown_as_a_page(lab_server):
    client = lab_server.client
    run = new_run(client)
    path = f"runs/{run['id']}/artifacts/report.html"
    client.put(path, content=b"<script>alert(1)</script>", headers={"Content-Type": "text/html"})
    saved = client.put(path, content=b"second", headers={"Content-Type": "text/html"})
    assert saved.status_code == 201
    assert saved.json()["size"] == 6
    answer = client.get(path)
    assert answer.content == b"second"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert [one["name"] for one in client.get(f"runs/{run['id']}/artifacts").json()["items"]] == [
        "report.html"
    ]


def test_a_deleted_run_is_gone_with_all_it_had(lab_server):
    client = lab_server.client
    run = new_run(client)
    log(client, run, stream(["a"], [1], [1.0]))
    assert client.delete(f"runs/{run['id']}").json() == {"runs": 1}
    for method, path in [
        ("GET", ""),
        ("GET", "/metrics"),
        ("GET", "/artifacts"),
        ("POST", "/heartbeat"),
        ("POST", "/stop"),
    ]:
        assert client.request(method, f"runs/{run['id']}{path}").status_code == 404
    assert log(client, run, stream(["a"], [1], [1.0])).status_code == 404


def test_every_wrong_field_is_named_at_once(lab_server):
    answer = lab_server.client.post(
        "runs", json={"name": 5, "params": [], "snapshot_id": "x", "colour": "red"}
    )
    assert answer.status_code == 422
    fields = {detail["field"] for detail in answer.json()["error"]["details"]}
    assert fields == {"name", "params", "snapshot_id", "colour"}


def test_unknown_projects_and_snapshots_are_not_found(lab_server):
    assert lab_server.client.post("runs", json={"project": "nowhere"}).status_code == 404
    assert lab_server.client.post("runs", json={"snapshot_id": 99999}).status_code == 404
