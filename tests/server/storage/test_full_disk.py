"""A disk without room: a limit on the size of files, which a test may set on its own server."""

import os
import resource

import pyarrow as pa
import pytest

from tests.server.labeling.conftest import LabeledProject

ARROW = "application/vnd.apache.arrow.stream"


def limit(server, size):
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def points(rows):
    """Incompressible points, so that files grow."""
    sink = pa.BufferOutputStream()
    noise = os.urandom(rows * 8)
    columns = {
        "name": pa.array(["loss"] * rows),
        "step": pa.Array.from_buffers(pa.int64(), rows, [None, pa.py_buffer(noise)]),
        "time": pa.array(range(rows), pa.timestamp("us", "UTC")),
        "value": pa.array(range(rows), pa.float64()),
    }
    table = pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def log(server, run, body, sequence):
    return server.client.post(
        f"runs/{run}/metrics",
        params={"producer": "p", "sequence": sequence, "on_duplicate": "keep"},
        content=body,
        headers={"Content-Type": ARROW},
    )


def stored(server, run):
    answer = server.client.get(f"runs/{run}/metrics", headers={"Accept": ARROW})
    return pa.ipc.open_stream(answer.content).read_all().num_rows


def test_upload_without_room_is_refused_and_leaves_nothing(start_server, tmp_path):
    server = start_server(tmp_path)
    run = server.client.post("runs", json={"name": "r"}).json()["id"]
    limit(server, 300_000)
    refused = server.client.put(f"runs/{run}/artifacts/model.bin", content=os.urandom(3_000_000))
    assert (refused.status_code, refused.json()["error"]["code"]) == (500, "STORAGE_FAILED")
    assert list((tmp_path / "uploads").iterdir()) == []
    assert server.client.get(f"runs/{run}/artifacts").json()["total"] == 0
    limit(server, resource.RLIM_INFINITY)
    assert server.client.put(f"runs/{run}/artifacts/model.bin", content=b"x").status_code == 201


def test_writes_without_room_are_refused_and_what_was_acknowledged_outlives_a_kill(start_server, tmp_path):
    server = start_server(tmp_path)
    run = server.client.post("runs", json={"name": "r"}).json()["id"]
    body = points(5000)
    assert log(server, run, body, 1).status_code == 200
    limit(server, (tmp_path / "lab.duckdb.wal").stat().st_size + 20_000)
    for _ in range(3):
        refused = log(server, run, body, 2)
        assert (refused.status_code, refused.json()["error"]["code"]) == (500, "STORAGE_FAILED")
    assert stored(server, run) == 5000
    limit(server, resource.RLIM_INFINITY)
    assert log(server, run, body, 2).json()["accepted"] == 5000
    server.kill()
    again = start_server(tmp_path)
    assert stored(again, run) == 10_000


@pytest.mark.slow
def test_a_checkpoint_without_room_does_not_end_the_database(start_server, tmp_path):
    server = start_server(tmp_path)
    run = server.client.post("runs", json={"name": "r"}).json()["id"]
    body = points(100_000)
    acknowledged = 0
    # The write-ahead log fits below the limit, the database file soon does not.
    limit(server, 80 << 20)
    for _ in range(250):
        if log(server, run, body, acknowledged + 1).status_code != 200:
            break
        acknowledged += 1
    else:
        pytest.fail("the limit was never met")
    assert server.client.get(f"runs/{run}").status_code == 200
    limit(server, resource.RLIM_INFINITY)
    assert log(server, run, body, acknowledged + 1).status_code == 200
    assert stored(server, run) == (acknowledged + 1) * 100_000


def test_what_was_labeled_is_read_while_the_disk_is_full_and_after_it(start_server, tmp_path):
    server = start_server(tmp_path)
    new = {"name": "full-disk", "task": "text_classification", "classes": ["a", "b"]}
    project = LabeledProject(server.client, server.client.post("projects", json=new).json())
    samples = project.import_texts(*(f"text {one}" for one in range(20)))

    def label(sample):
        return project.save({"sample_id": sample, "label": "a"}).status_code

    def labeled():
        return len(project.samples(status="labeled"))

    for sample in samples[:15]:
        assert label(sample) == 200
    # Neither the journal can grow nor the write-ahead log, which is larger.
    limit(server, (tmp_path / "lab.duckdb.journal").stat().st_size)
    for _ in range(2):
        assert label(samples[18]) == 500
        assert labeled() == 15
    assert server.client.get("lab").json()["lacks_room"]
    limit(server, resource.RLIM_INFINITY)
    assert label(samples[0]) == label(samples[18]) == 200
    assert labeled() == 16
    assert not server.client.get("lab").json()["lacks_room"]
