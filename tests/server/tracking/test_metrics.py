"""Metrics through the API of a real lab server: what replaces what, series over an axis, and their figures."""

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from tests.server.tracking.test_runs import ARROW, log, new_run, raw

START = datetime(2026, 11, 1, tzinfo=UTC)


def batch(rows, context=None, *, dictionaries=False):
    """Points (name, step, value[, seconds after `START`]) as an Arrow IPC stream."""
    times = [START + timedelta(seconds=row[3] if len(row) > 3 else row[1] % 10**6) for row in rows]
    columns = {
        "name": pa.array([row[0] for row in rows], pa.string()),
        "step": pa.array([row[1] for row in rows], pa.int64()),
        "time": pa.array(times, pa.timestamp("us", "UTC")),
        "value": pa.array([row[2] for row in rows], pa.float64()),
    }
    if context is not None:
        columns["context"] = pa.array([context] * len(rows), pa.string())
    if dictionaries:
        columns = {
            name: column.dictionary_encode() if name in ("name", "context") else column
            for name, column in columns.items()
        }
    return as_stream(pa.table(columns))


def as_stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def send(client, run, body, **params):
    answer = client.post(
        f"runs/{run['id']}/metrics", params=params, content=body, headers={"Content-Type": ARROW}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def read(client, run, **params):
    answer = client.get(f"runs/{run['id']}/metrics", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["series"]


def summary(client, run):
    answer = client.get(f"runs/{run['id']}/metrics/summary").json()
    assert answer["total"] == len(answer["items"])
    return answer["items"]


def stored(client, run):
    return [(row["name"], row["step"], row["value"]) for row in raw(client, run).to_pylist()]


def test_the_last_point_of_a_step_is_the_one_that_counts(lab_server):
    client = lab_server.client
    run = new_run(client)
    first = send(client, run, batch([("loss", 1, 1.0), ("loss", 2, 2.0), ("loss", 1, 1.5), ("lr", 1, 9.0)]))
    assert first["accepted"] == 4
    assert sorted(stored(client, run)) == [("loss", 1, 1.5), ("loss", 2, 2.0), ("lr", 1, 9.0)]
    # One step of before, one in between that is new, and one behind; another metric goes on.
    again = send(client, run, batch([("loss", 2, 2.5), ("loss", 0, 0.5), ("loss", 3, 3.0), ("lr", 2, 8.0)]))
    assert again["accepted"] == 4 and again["first_number"] == 3
    (loss, rate) = read(client, run)
    assert (loss["steps"], loss["values"], loss["points"]) == ([0, 1, 2, 3], [0.5, 1.5, 2.5, 3.0], 4)
    assert (rate["steps"], rate["values"]) == ([1, 2], [9.0, 8.0])
    figures = {one["name"]: one for one in summary(client, run)}
    assert figures["loss"] == {
        "name": "loss",
        "context": {},
        "last": 3.0,
        "last_step": 3,
        "last_time": "2026-11-01T00:00:03Z",
        "min": 0.5,
        "max": 3.0,
        "mean": 1.875,
        "count": 4,
        "first_step": 0,
    }


def test_points_may_be_kept_however_often_their_step_comes(lab_server):
    client = lab_server.client
    run = new_run(client)
    for value in (1.0, 2.0):
        send(client, run, batch([("loss", 1, value), ("loss", 1, value + 0.5)]), on_duplicate="keep")
    (loss,) = read(client, run)
    assert (loss["steps"], loss["values"]) == ([1] * 4, [1.0, 1.5, 2.0, 2.5])
    assert summary(client, run)[0]["count"] == 4
    # The next one that is not to be kept beside them replaces them all.
    send(client, run, batch([("loss", 1, 7.0)]))
    assert stored(client, run) == [("loss", 1, 7.0)]


def test_contexts_are_series_of_their_own_however_they_are_written(lab_server):
    client = lab_server.client
    run = new_run(client)
    send(client, run, batch([("loss", 1, 1.0)]))
    send(client, run, batch([("loss", 1, 2.0), ("loss", 2, 3.0)], '{"subset":"val","rank":"0"}'))
    send(client, run, batch([("loss", 2, 4.0)], '{ "rank": "0", "subset": "val" }', dictionaries=True))
    point = {"name": "loss", "value": 5, "step": 3, "context": {"subset": "val", "rank": "0"}}
    client.post(f"runs/{run['id']}/metrics", json={"points": [point]})
    plain, val = read(client, run)
    assert (plain["context"], plain["values"]) == ({}, [1.0])
    assert (val["context"], val["values"]) == ({"rank": "0", "subset": "val"}, [2.0, 4.0, 5.0])
    assert [(one["context"], one["last"]) for one in summary(client, run)] == [
        ({}, 1.0),
        ({"rank": "0", "subset": "val"}, 5.0),
    ]
    assert set(raw(client, run)["context"].to_pylist()) == {"{}", '{"rank":"0","subset":"val"}'}


@pytest.mark.parametrize(
    "context",
    [
        *("", "{", "[]", '"a"', '{"a":1}', '{"a":null}', '{"":"a"}', None),
        json.dumps({"k": "v" * 101}),
        json.dumps({str(key): "v" for key in range(17)}),
    ],
)
def test_a_context_that_is_none_is_refused_with_the_reason(lab_server, context):
    client = lab_server.client
    run = new_run(client)
    body = batch([("loss", 1, 1.0)], "{}")
    table = pa.ipc.open_stream(body).read_all()
    table = table.set_column(table.column_names.index("context"), "context", pa.array([context], pa.string()))
    answer = log(client, run, as_stream(table))
    assert answer.status_code == 422 and "context" in answer.json()["error"]["message"]
    assert raw(client, run).num_rows == 0


def test_dictionaries_of_several_batches_are_one(lab_server):
    client = lab_server.client
    run = new_run(client)
    rows = [(f"m{number % 7}", number // 7, float(number)) for number in range(700)]
    table = pa.ipc.open_stream(batch(rows, "{}", dictionaries=True)).read_all()
    pieces = [table.slice(start, 100) for start in range(0, 700, 100)]
    encoded = [
        piece.set_column(
            0,
            "name",
            pa.chunked_array([piece["name"].combine_chunks().cast(pa.string())]).dictionary_encode(),
        )
        for piece in pieces
    ]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for piece in encoded:
            writer.write_table(piece)
    assert send(client, run, sink.getvalue().to_pybytes())["accepted"] == 700
    assert stored(client, run) == [(name, step, value) for name, step, value in rows]


def test_figures_are_what_sql_finds_from_scratch(lab_server):
    """Whatever comes in whatever order, with whatever values, kept or replaced."""
    client = lab_server.client
    random = np.random.default_rng(7)
    odd = np.array([math.nan, math.inf, -math.inf])
    for on_duplicate in ("replace", "keep"):
        run = new_run(client)
        expected: dict[tuple[str, int], tuple] = {}
        kept = []
        for number in range(12):
            count = int(random.integers(1, 60))
            steps = (
                random.integers(-5, 40, count)
                if number % 3
                else np.arange(100 * number, 100 * number + count)
            )
            values = np.where(
                random.random(count) < 0.2, random.choice(odd, count), random.normal(size=count)
            )
            rows = [
                (f"m{random.integers(3)}", int(step), float(value), number * 1000 + place)
                for place, (step, value) in enumerate(zip(steps, values, strict=True))
            ]
            for name, step, value, at in rows:
                expected[name, step] = (name, step, value, at)
                kept.append((name, step, value, at))
            send(client, run, batch(rows), on_duplicate=on_duplicate)
        points = kept if on_duplicate == "keep" else list(expected.values())
        frame = pl.DataFrame(points, ["name", "step", "value", "at"], orient="row")
        for one in summary(client, run):
            mine = frame.filter(pl.col("name") == one["name"]).sort("step", "at", maintain_order=True)
            finite = mine.filter(pl.col("value").is_finite())["value"]
            last = mine.row(-1, named=True)
            assert one["count"] == len(mine)
            assert (one["first_step"], one["last_step"]) == (mine["step"].min(), mine["step"].max())
            assert one["last"] == (last["value"] if math.isfinite(last["value"]) else None)
            assert datetime.fromisoformat(one["last_time"]) == START + timedelta(seconds=last["at"])
            assert (one["min"], one["max"]) == (finite.min(), finite.max())
            assert one["mean"] == pytest.approx(finite.mean())
        assert sum(one["count"] for one in summary(client, run)) == len(points) == raw(client, run).num_rows


def test_a_hundred_thousand_names_are_taken_at_once(lab_server):
    client = lab_server.client
    run = new_run(client)
    names = [f"weight/{number}" for number in range(100_000)]
    for step in (1, 2):
        assert send(client, run, batch([(name, step, 1.0) for name in names]))["accepted"] == 100_000
    items = summary(client, run)
    assert len(items) == 100_000 and {(one["count"], one["last_step"]) for one in items} == {(2, 2)}
    page = client.get(f"runs/{run['id']}/metrics/summary", params={"limit": 3, "offset": 99_998}).json()
    assert (page["total"], page["items"]) == (100_000, items[99_998:])
    client.delete(f"runs/{run['id']}")


def test_a_run_that_makes_a_series_of_every_point_is_told_so(lab_server):
    client = lab_server.client
    run = new_run(client)
    count = 200_001
    table = pa.table(
        {
            "name": pa.array([f"loss {number}" for number in range(count)]),
            "step": pa.array(np.zeros(count, np.int64)),
            "time": pa.array(np.zeros(count, np.int64), pa.timestamp("us", "UTC")),
            "value": pa.array(np.ones(count)),
        }
    )
    for start in (0, 100_000):
        send(client, run, as_stream(table.slice(start, 100_000)))
    refused = client.post(
        f"runs/{run['id']}/metrics", content=as_stream(table.slice(199_999)), headers={"Content-Type": ARROW}
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "INVALID_DATA"), refused.text
    # Nothing is left of what was refused, and the series that are there go on.
    assert send(client, run, as_stream(table.slice(199_999, 1)))["accepted"] == 1
    assert client.get(f"runs/{run['id']}/metrics/summary", params={"limit": 1}).json()["total"] == 200_000
    client.delete(f"runs/{run['id']}")


@pytest.fixture(scope="module")
def long_run(lab_server):
    """A million points of one metric with two spikes, and another metric beside it."""
    client = lab_server.client
    run = new_run(client)
    count = 1_000_000
    values = np.sin(np.arange(count) / 1e5)
    values[123_456], values[765_432] = 1000.0, -1000.0
    values[500_000], values[500_001] = math.nan, math.inf
    micros = np.int64(START.timestamp() * 1e6) + np.arange(count) * 1000
    table = pa.table(
        {
            "name": pa.repeat("loss", count).dictionary_encode(),
            "step": np.arange(count),
            "time": pa.array(micros).cast(pa.timestamp("us", "UTC")),
            "value": values,
        }
    )
    for start in range(0, count, 250_000):
        send(client, run, as_stream(table.slice(start, 250_000)))
    send(client, run, batch([("epoch", step, step / 1000) for step in range(0, 2000, 2)]))
    return run


def test_of_a_million_points_no_spike_disappears(lab_server, long_run):
    answer = lab_server.client.get(f"runs/{long_run['id']}/metrics", params={"names": "loss"})
    assert len(answer.content) < 70_000
    (loss,) = answer.json()["series"]
    assert loss["reduced"] and loss["points"] == 1_000_000
    assert loss["steps"] == list(range(0, 1_000_000, 1000)) and loss["counts"] == [1000] * 1000
    assert (loss["high"][123], loss["low"][765]) == (1000.0, -1000.0)
    assert loss["times"][7] == START.timestamp() + 7
    assert loss["values"][10] == pytest.approx(
        float(np.mean(np.sin(np.arange(10_000, 11_000) / 1e5))), rel=1e-6
    )
    assert [(one["step"], one["kind"]) for one in loss["nonfinite"]] == [(500_000, "nan"), (500_001, "inf")]
    assert loss["nonfinite_count"] == 2


def test_a_close_look_gives_the_points_themselves(lab_server, long_run):
    client = lab_server.client
    (near,) = read(client, long_run, names="loss", start=499_900.5, end=500_100)
    assert not near["reduced"] and near["low"] is None and near["counts"] is None
    assert near["steps"] == list(range(499_901, 500_101)) and near["points"] == 200
    assert near["values"][99] is None and near["values"][0] == math.sin(499_901 / 1e5)
    assert [one["step"] for one in near["nonfinite"]] == [500_000, 500_001]
    (percent,) = read(client, long_run, names="loss", start=120_000, end=129_999, max_points=500)
    assert percent["reduced"] and percent["points"] == 10_000 and len(percent["steps"]) == 500
    assert max(percent["high"]) == 1000.0
    (nothing,) = read(client, long_run, names="loss", start=2e6)
    assert (nothing["steps"], nothing["points"], nothing["reduced"]) == ([], 0, False)
    assert read(client, long_run, names="loss", start=-1e300, end=1e300)[0]["points"] == 1_000_000


def test_a_series_may_be_seen_over_time(lab_server, long_run):
    client = lab_server.client
    begin = START.timestamp()
    (loss,) = read(client, long_run, names="loss", x="time", max_points=100)
    assert loss["reduced"] and loss["points"] == 1_000_000 and sum(loss["counts"]) == 1_000_000
    assert loss["steps"] == list(range(0, 1_000_000, 10_000)) and loss["times"][1] == begin + 10
    (second,) = read(client, long_run, names="loss", x="time", start=begin + 1, end=begin + 1.999)
    assert second["steps"] == list(range(1000, 2000)) and second["x"] is None
    # A clock that went backwards is shown as it was.
    run = new_run(client)
    send(client, run, batch([("loss", 1, 1.0, 50), ("loss", 2, 2.0, 10), ("loss", 3, 3.0, 60)]))
    assert read(client, run, x="time")[0]["steps"] == [2, 1, 3]
    assert read(client, run)[0]["steps"] == [1, 2, 3]


def test_a_series_may_be_seen_over_another_metric(lab_server, long_run):
    client = lab_server.client
    epoch, loss = read(client, long_run, x="metric:epoch")
    assert loss["points"] == 1000 and loss["steps"] == list(range(0, 2000, 2))
    assert loss["x"] == [step / 1000 for step in range(0, 2000, 2)] == epoch["values"]
    (loss,) = read(client, long_run, names="loss", x="metric:epoch", start=1, end=1.5, max_points=50)
    assert loss["reduced"] and loss["points"] == 251 and len(loss["x"]) <= 50 and loss["x"][0] == 1.0
    run = new_run(client)
    send(
        client,
        run,
        batch([("loss", 1, 1.0), ("loss", 2, 2.0), ("x", 1, 5.0), ("x", 2, math.nan)], '{"a":"b"}'),
    )
    send(client, run, batch([("loss", 1, 8.0)]))
    plain, other = read(client, run, x="metric:x", names="loss")
    assert (plain["context"], plain["points"]) == ({}, 0)
    assert (other["steps"], other["x"]) == ([1], [5.0])
    # An epoch that is logged once is that of the validation too; a context's own goes before it.
    send(client, run, batch([("epoch", 1, 0.5)]))
    plain, other = read(client, run, x="metric:epoch", names="loss")
    assert (plain["x"], other["steps"], other["x"]) == ([0.5], [1], [0.5])
    send(client, run, batch([("epoch", 2, 7.0)], '{"a":"b"}'))
    _, other = read(client, run, x="metric:epoch", names="loss")
    assert (other["steps"], other["x"]) == ([2], [7.0])
    for wrong in ("metric:", "epoch", ""):
        answer = client.get(f"runs/{run['id']}/metrics", params={"x": wrong})
        assert answer.status_code == 422 and "metric:NAME" in answer.json()["error"]["message"]


def test_many_series_are_reduced_each_by_its_own_width(lab_server):
    client = lab_server.client
    run = new_run(client)
    rows = [(f"m{number}", step * (number + 1), float(step)) for number in range(5) for step in range(3000)]
    send(client, run, batch(rows))
    send(client, run, batch([("few", 1, -(2.0**70)), ("wide", -(2**62), 1.0), ("wide", 2**62, 2.0)]))
    found = {one["name"]: one for one in read(client, run, max_points=100)}
    assert [found[f"m{number}"]["counts"] for number in range(5)] == [[30] * 100] * 5
    assert found["m4"]["steps"] == list(range(0, 15_000, 150))
    assert found["m4"]["values"][1] == pytest.approx(44.5)
    assert found["few"]["values"] == [-(2.0**70)] and not found["few"]["reduced"]


def test_steps_and_values_at_the_ends_of_their_range_are_told(lab_server):
    client = lab_server.client
    run = new_run(client)
    rows = [("wide", step, 1.7e308) for step in (-(2**63), 0, 2**63 - 1)]
    send(client, run, batch([(name, step, value, 0) for name, step, value in rows]))
    (whole,) = read(client, run, max_points=2)
    assert whole["reduced"] and sum(whole["counts"]) == 3 and whole["steps"][0] == -(2**63)
    (over,) = read(client, run, x="metric:wide", max_points=2)
    assert sum(over["counts"]) == 3
    assert summary(client, run)[0]["mean"] is None


def test_a_deleted_run_takes_its_metrics_along(lab_server):
    client = lab_server.client
    run = new_run(client)
    count = 100_000
    send(client, run, batch([("loss", step, 1.0) for step in range(count)]))
    assert client.delete(f"runs/{run['id']}").json() == {"runs": 1}
    for table in ("metrics", "metric_summaries"):
        answer = client.get(f"tables/{table}", params={"run_id": run["id"]})
        assert pa.ipc.open_stream(answer.content).read_all().num_rows == 0
    assert client.get(f"runs/{run['id']}/metrics").status_code == 404


@pytest.mark.slow
def test_what_is_sent_again_after_the_server_was_killed_is_there_once(start_server, tmp_path):
    server = start_server(tmp_path)
    run = new_run(server.client)
    bodies = [
        batch([("loss", step, float(number)) for step in range(number, number + 20)]) for number in range(8)
    ]
    for number, body in enumerate(bodies[:5], start=1):
        assert log(server.client, run, body, sequence=number).json()["accepted"] == 20
    server.kill()
    server = start_server(tmp_path)
    # The producer never heard of the last answers.
    for number, body in enumerate(bodies[2:], start=3):
        answer = log(server.client, run, body, sequence=number)
        assert answer.status_code == 200, answer.text
        assert answer.json()["duplicate"] is (number <= 5)
    assert sorted(stored(server.client, run)) == [("loss", step, float(min(step, 7))) for step in range(27)]
    assert summary(server.client, run)[0]["count"] == 27
