"""Requests that nobody sends on purpose: never a failure of the server, always the one error shape."""

import pyarrow as pa
import pytest

ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def run(lab_server):
    return lab_server.client.post("runs", json={"name": "hostile"}).json()["id"]


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "projects/" + "9" * 5000, {}),
        ("GET", "runs", {"params": {"project": "²"}}),
        ("GET", "runs", {"params": {"project": "9" * 40}}),
        ("POST", "runs", {"json": {"project": "²"}}),
        ("POST", "runs", {"json": {"project": 10**40}}),
        ("POST", "runs", {"json": {"params": {"a": 10**40}}}),
        ("PATCH", "runs/{run}", {"content": b'{"summary": {"loss": NaN}}'}),
        ("POST", "runs/{run}/metrics", {"json": {"points": [{"name": "a", "value": 1, "step": 10**30}]}}),
    ],
)
def test_absurd_numbers_are_the_callers_fault(lab_server, run, method, path, options):
    answer = lab_server.client.request(method, path.format(run=run), **options)
    assert answer.status_code in (404, 422)
    assert answer.json()["error"]["message"]
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def test_names_of_metrics_that_are_no_text_are_refused(lab_server, run):
    offsets, data = pa.array([0, 2, 4], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe\xff\xfe")
    table = pa.table(
        {
            "name": pa.Array.from_buffers(pa.string(), 2, [None, offsets, data]),
            "step": [1, 2],
            "time": pa.array([1, 2], pa.timestamp("us", "UTC")),
            "value": [1.0, 2.0],
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = lab_server.client.post(
        f"runs/{run}/metrics", content=sink.getvalue().to_pybytes(), headers={"Content-Type": ARROW}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_DATA")


def test_a_name_in_an_address_is_decoded_once(lab_server, run):
    lab_server.client.put(f"runs/{run}/artifacts/100%2541.txt", content=b"x").raise_for_status()
    names = [one["name"] for one in lab_server.client.get(f"runs/{run}/artifacts").json()["items"]]
    assert "100%41.txt" in names


def test_an_evaluation_that_is_none_is_called_so(lab_server, run):
    lab_server.client.put(f"runs/{run}/artifacts/evaluation.json", content=b"{}").raise_for_status()
    answer = lab_server.client.get(f"runs/{run}/evaluation")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_DATA")
