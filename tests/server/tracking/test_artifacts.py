"""Artifacts: names with folders, kinds, steps and rows of tables, through the API of a real lab server."""

import io
import math
from datetime import UTC, datetime
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from modelship_lab.records.artifacts import Artifact
from tests.server.ownership.conftest import newcomer
from tests.server.tracking.test_runs import new_run


@pytest.fixture(scope="module")
def client(lab_server):
    return newcomer(lab_server, "artifacts").client


@pytest.fixture
def run(client):
    return new_run(client)["id"]


def at(run, name):
    return f"runs/{run}/artifacts/{quote(name, safe='')}"


def put(client, run, name, content=b"x", content_type="application/octet-stream", **query):
    answer = client.put(at(run, name), content=content, params=query, headers={"Content-Type": content_type})
    assert answer.status_code == 201, answer.text
    return answer.json()


def parquet(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", **options)
    return sink.getvalue()


def rows(client, run, name, **query):
    return client.get(f"runs/{run}/artifact-rows/{quote(name, safe='')}", params=query)


@pytest.mark.parametrize(
    "name", ["images/sample.png", "a b/ü%2F+?#&.txt", "deep/" * 20 + "x", "%2F", "x" * 500, "..x/y..", "a\\b"]
)
def test_names_have_folders_and_come_back_as_they_were_sent(client, run, name):
    saved = put(client, run, name, name.encode())
    assert saved["name"] == name
    assert client.get(at(run, name)).content == name.encode()
    assert [one["name"] for one in client.get(f"runs/{run}/artifacts").json()["items"]] == [name]
    assert client.delete(at(run, name)).status_code == 204
    assert client.get(at(run, name)).status_code == 404


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "a//b", "a/", "../x", "a/../b", "./a", "a/.", "x" * 501, "a\nb", " "]
)
def test_names_that_are_no_paths_are_refused(client, run, name):
    answer = client.put(at(run, name), content=b"x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_INPUT"), answer.text
    assert client.get(f"runs/{run}/artifacts").json()["items"] == []


def test_there_is_one_for_each_name_and_step(client, run):
    for step, content in ((None, b"none"), (1, b"old"), (10, b"ten"), (2, b"two"), (1, b"one")):
        query = {} if step is None else {"step": step}
        saved = put(client, run, "sample", content, kind="text", caption=f"of {step}", **query)
        assert Artifact.model_validate(saved).step == step
    put(client, run, "other", b"x")
    found = client.get(f"runs/{run}/artifacts", params={"name": "sample"}).json()["items"]
    assert [(one["step"], one["kind"], one["caption"], one["size"]) for one in found] == [
        (None, "text", "of None", 4), (1, "text", "of 1", 3), (2, "text", "of 2", 3), (10, "text", "of 10", 3)
    ]  # fmt: skip
    assert client.get(at(run, "sample")).content == b"ten"
    assert client.get(at(run, "sample"), params={"step": 1}).content == b"one"
    missing = client.get(at(run, "sample"), params={"step": 3})
    assert (missing.status_code, "at step 3" in missing.text) == (404, True)
    assert [
        one["name"] for one in client.get(f"runs/{run}/artifacts", params={"kind": "file"}).json()["items"]
    ] == ["other"]
    assert client.delete(at(run, "sample"), params={"step": 10}).status_code == 204
    assert client.get(at(run, "sample")).content == b"two"
    assert client.delete(at(run, "sample")).status_code == 204
    assert client.delete(at(run, "sample")).status_code == 404
    assert [one["name"] for one in client.get(f"runs/{run}/artifacts").json()["items"]] == ["other"]
    assert client.put(at(run, "x"), content=b"x", params={"kind": "film"}).status_code == 422
    assert client.put(at(run, "x"), content=b"x", params={"step": 1 << 70}).status_code == 422
    events = client.get("events", params={"topic": f"run:{run}", "limit": 1000}).json()["items"]
    assert [event["payload"].get("step") for event in events if event["type"] == "artifact.deleted"] == [
        10,
        None,
    ]


def test_only_pictures_are_shown_and_nothing_runs(client, run):
    picture = io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "PNG")
    put(client, run, "images/a.png", picture.getvalue(), "image/png", kind="image")
    shown = client.get(at(run, "images/a.png"))
    assert "Content-Disposition" not in shown.headers
    for name, content_type in (
        ("a.svg", "image/svg+xml"),
        ("a.html", "text/html"),
        ("a.js", "text/javascript"),
    ):
        put(client, run, f"pages/{name}", b"<svg onload='alert(1)'/>", content_type)
        answer = client.get(at(run, f"pages/{name}"))
        assert answer.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{name}"
        assert answer.headers["Content-Security-Policy"].startswith("sandbox")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert shown.headers["Content-Security-Policy"].startswith("sandbox")


def test_rows_of_a_table_are_read_in_pieces(client, run):
    table = pa.table({"n": range(1000), "text": [f"row {n % 3}" for n in range(1000)]})
    put(client, run, "tables/t.parquet", parquet(table, row_group_size=70), kind="table", step=1)
    first = rows(client, run, "tables/t.parquet").json()
    assert (first["columns"], first["total"], len(first["rows"])) == (["n", "text"], 1000, 100)
    some = rows(client, run, "tables/t.parquet", offset=65, limit=80, step=1).json()
    assert some["rows"] == [[n, f"row {n % 3}"] for n in range(65, 145)]
    assert rows(client, run, "tables/t.parquet", offset=998, limit=80).json()["rows"] == [
        [998, "row 2"],
        [999, "row 0"],
    ]
    assert rows(client, run, "tables/t.parquet", offset=5000).json()["rows"] == []
    assert rows(client, run, "tables/t.parquet", step=7).status_code == 404


def test_cells_are_what_json_can_hold(client, run):
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = pa.table(
        {
            "f": [1.5, math.nan, None],
            "i": [1, 1 << 60, None],
            "b": [True, False, None],
            "t": pa.array([moment, None, None], pa.timestamp("us", "UTC")),
            "bytes": [b"abc", b"", None],
            "list": [[1, 2], [], None],
            "text": ["x" * 5000, "", None],
            "category": pa.array(["a", None, "a"]).dictionary_encode(),
        }
    )
    put(client, run, "t", parquet(table), kind="table")
    one, two, three = rows(client, run, "t").json()["rows"]
    assert one[:6] == [1.5, 1, True, moment.isoformat(), "<3 bytes>", "[1,2]"]
    assert (len(one[6]), one[7]) == (2001, "a")
    assert two == ["nan", str(1 << 60), False, None, "<0 bytes>", "[]", "", None]
    assert three == [None] * 7 + ["a"]


def test_a_table_that_would_fill_the_memory_is_refused(client, run):
    # A gigabyte of nothing in a few kilobytes, and a hundred million values in fewer.
    long = pa.table({"text": pa.array(["x" * (1 << 20)] * 300)})
    put(client, run, "long", parquet(long, use_dictionary=False), kind="table")
    refused = rows(client, run, "long")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "INVALID_DATA")
    many = pa.table({"n": pa.nulls(30_000_000, pa.int8())})
    put(client, run, "many", parquet(many, row_group_size=30_000_000), kind="table")
    assert rows(client, run, "many").status_code == 422
    # One long text in many rows is in memory once, and the answer is cut.
    repeated = pa.table({"text": pa.array(["y" * 100_000] * 5000)})
    put(client, run, "repeated", parquet(repeated), kind="table")
    answer = rows(client, run, "repeated", limit=1000).json()
    assert answer["total"] == 5000
    assert {len(row[0]) for row in answer["rows"]} == {2001}
    wide = pa.table({f"c{number}": [1] for number in range(1001)})
    assert client.put(at(run, "wide"), content=parquet(wide), params={"kind": "table"}).status_code == 422


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", b"a,b\n1,2\n"])
def test_what_is_no_table_is_refused(client, run, content):
    answer = client.put(at(run, "t"), content=content, params={"kind": "table"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_DATA"), answer.text
    put(client, run, "t", content)
    assert rows(client, run, "t").json()["error"]["code"] == "INVALID_DATA"
    damaged = bytearray(parquet(pa.table({"a": list(range(1000)), "b": ["x"] * 1000})))
    damaged[8:200] = bytes(192)
    put(client, run, "d", bytes(damaged), kind="table")
    assert rows(client, run, "d").json()["error"]["code"] == "INVALID_DATA"
