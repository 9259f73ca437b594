"""Requests that nobody sends on purpose: never a failure of the server, always the one error shape."""

import contextlib
import gzip
import json
import re
import socket
import time
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
import pytest
import websockets.exceptions
from websockets.sync.client import connect

from modelship_lab.server.api import routes  # noqa: F401  # declares what NATIVE has
from modelship_lab.server.api.dialect import NATIVE
from tests.conftest import run_server

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


def raw(server, text: str | bytes, timeout: float = 15) -> bytes:
    """What the server answers to these bytes until it closes the connection."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout) as connection:
        connection.sendall(text.encode() if isinstance(text, str) else text)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def head(server, method: str, path: str, *lines: str) -> str:
    """The beginning of a request with the lab's token, up to the empty line."""
    parts = urlsplit(server.url)
    return "\r\n".join(
        [
            f"{method} /mlship/api/{path} HTTP/1.1",
            f"Host: {parts.netloc}",
            f"Authorization: Bearer {server.token}",
            *lines,
            "",
            "",
        ]
    )


def refused(answer: bytes, *statuses: int) -> dict:
    """The error of a raw answer that must have one of these statuses."""
    assert int(answer.split()[1]) in statuses, answer
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"name": "x", "params": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"name": "x", "params": ' + b'{"a":' * 180 + b"1" + b"}" * 181,
        b'{"name": "\xff\xfe"}',
        b'{"name": "a\x00b"}',
        b'{"name": "\\u0000"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a\\r\\nSet-Cookie: x=1"}',
        b"\x00" * 100,
        b'"text"',
        b"name=x",
        b"",
        "{'name': 'x'}".encode("utf-16"),
    ],
)
@pytest.mark.parametrize("path", ["runs", "projects", "models", "webhooks"])
def test_bodies_that_are_no_good_are_refused(lab_server, path, content):
    answer = lab_server.client.post(path, content=content)
    # A name of a run is free text: it may have controls in it, but then it is kept as it is.
    assert answer.status_code in ((201, 409, 422) if path == "runs" else (422,)), answer.text
    if answer.status_code == 201:
        run = lab_server.client.get(f"runs/{answer.json()['id']}")
        assert run.json()["name"] == answer.json()["name"]


def test_a_body_may_come_in_chunks(lab_server):
    def chunks():
        yield b'{"name": '
        yield b'"in chunks"}'

    assert lab_server.client.post("runs", content=chunks()).json()["name"] == "in chunks"


def test_chunks_beyond_the_limit_are_read_for_a_while_and_then_cost_the_connection(lab_server):
    sent = 0

    def spaces(megabytes):
        nonlocal sent
        for _ in range(megabytes):
            yield b" " * (1 << 20)
            sent += 1

    answer = lab_server.client.post("runs", content=spaces(40))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert sent == 40
    # It may still be sending when the connection is closed.
    with contextlib.suppress(httpx.TransportError):
        assert lab_server.client.post("runs", content=spaces(2000)).status_code == 413
    assert sent < 200


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: abc",),
        ("Content-Length: -1",),
        ("Content-Length: +2",),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: 2, 3",),
        ("Content-Length: 99999999999999999999999",),
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
    ],
)
def test_lengths_that_are_none_are_refused(lab_server, lines):
    answer = raw(lab_server, head(lab_server, "POST", "runs", *lines) + "{}")
    assert refused(answer, 413, 422)["message"]


@pytest.mark.parametrize("body", ["zz\r\n{}\r\n0\r\n\r\n", "2\r\n{}XX0\r\n\r\n", "ffffffffffffffffff\r\n{}"])
def test_chunks_that_are_none_cost_the_connection(lab_server, body):
    answer = raw(lab_server, head(lab_server, "POST", "runs", "Transfer-Encoding: chunked") + body)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 4")) or answer == b""
    assert lab_server.client.get("health").status_code == 200


def test_compressed_bodies_are_not_unpacked(lab_server):
    bomb = gzip.compress(b" " * (64 << 20))
    for path in ("runs", "projects"):
        answer = lab_server.client.post(path, content=bomb, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "label", ["application/x-www-form-urlencoded", "text/plain", "image/png", "junk", ""]
)
def test_json_is_read_however_it_is_labeled(lab_server, label):
    headers = {"Content-Type": label}
    answer = lab_server.client.post("runs", content=b'{"name": "labeled"}', headers=headers)
    assert answer.status_code == 201
    assert lab_server.client.post("runs", content=b"name=x", headers=headers).status_code == 422


TRAVERSALS = [
    "..",
    "%2e%2e",
    "..%2F..%2Fetc%2Fpasswd",
    "%2Fetc%2Fpasswd",
    "..%5C..%5Cx",
    "a%00b",
    "%0d%0aX:1",
]


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_parameter_of_a_path_leads_out_of_the_lab(lab_server, run, name):
    for one in NATIVE.endpoints:
        if one.method not in ("GET", "DELETE") or "{" not in one.path:
            continue
        path = re.sub(r"\{\w+\}", name, one.path)
        answer = raw(lab_server, head(lab_server, one.method, path, "Connection: close"))
        assert refused(answer, 404, 422)["message"], (path, answer)
        assert b"root:" not in answer
    saved = lab_server.client.put(f"runs/{run}/artifacts/{name}", content=b"x")
    assert saved.status_code in (201, 404, 405, 422)
    assert not list(lab_server.data_dir.parent.glob("passwd"))


@pytest.mark.parametrize("name", ["a%0d%0aSet-Cookie:%20x=1", "a%00b", "%22;x=", "ä%E2%80%A8b", "a" * 255])
def test_names_do_not_become_headers(lab_server, run, name):
    saved = lab_server.client.put(f"runs/{run}/artifacts/{name}", content=b"x")
    assert saved.status_code in (201, 422), saved.text
    if saved.status_code == 201:
        answer = lab_server.client.get(f"runs/{run}/artifacts/{name}")
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert answer.content == b"x"


def test_the_type_of_an_artifact_is_only_a_header(lab_server, run):
    for kind in ("text/html\x01", "tëxt/html".encode("latin-1"), b"text/html; x=\xff", "x" * 5000):
        lab_server.client.put(f"runs/{run}/artifacts/typed", content=b"x", headers={"Content-Type": kind})
        answer = lab_server.client.get(f"runs/{run}/artifacts/typed")
        assert answer.status_code in (200, 404), answer.text


def test_another_name_of_the_server_is_refused(lab_server):
    answer = lab_server.client.get("health", headers={"Host": "evil.example:80"})
    assert answer.status_code == 403
    assert "allow_remote_access" in answer.json()["error"]["message"]


@pytest.fixture(scope="module")
def impatient_server(tmp_path_factory, template):
    """A server that waits for two seconds only."""
    folder = tmp_path_factory.mktemp("impatient")
    (folder / "jupyter_server_config.py").write_text("c.ModelShipLab.request_timeout_s = 2.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_CONFIG_DIR", str(folder))
        server = run_server(folder / "data", template=template)
    yield server
    server.stop()


@pytest.mark.parametrize("lines", [("Content-Length: 1000",), ("Transfer-Encoding: chunked",)])
@pytest.mark.parametrize("path", ["runs", "runs/1/artifacts/a", "no/such"])
def test_a_body_that_does_not_come_ends_the_request(impatient_server, path, lines):
    method = "PUT" if "artifacts" in path else "POST"
    begin = time.monotonic()
    answer = raw(impatient_server, head(impatient_server, method, path, *lines))
    assert refused(answer, 408)["code"] == "REQUEST_TIMEOUT"
    assert b"Connection: close" in answer
    assert 1.5 < time.monotonic() - begin < 10
    # Nothing is left of what was begun.
    while list((impatient_server.data_dir / "uploads").iterdir()):
        assert time.monotonic() - begin < 10
        time.sleep(0.05)


def test_a_body_that_comes_slowly_is_waited_for(impatient_server):
    def slowly():
        for part in (b"{", b'"name"', b":", b'"slow"', b"}"):
            yield part
            time.sleep(0.8)

    assert impatient_server.client.post("runs", content=slowly()).json()["name"] == "slow"


def test_headers_that_do_not_come_cost_the_connection(impatient_server):
    begin = time.monotonic()
    assert raw(impatient_server, "GET /mlship/api/health HTTP/1.1\r\nHost: ") == b""
    assert 1.5 < time.monotonic() - begin < 10


def test_the_server_answers_while_two_hundred_others_are_slow(impatient_server):
    parts = urlsplit(impatient_server.url)
    beginning = head(impatient_server, "POST", "runs", "Content-Length: 1000").encode()
    slow = []
    try:
        for number in range(200):
            one = socket.create_connection((parts.hostname, parts.port), 10)
            # Half of them stop in their headers.
            one.sendall(beginning if number % 2 else beginning[:30])
            slow.append(one)
        begin = time.monotonic()
        assert impatient_server.client.get("lab").status_code == 200
        assert time.monotonic() - begin < 1.5
        answers = [one.recv(65536) for one in slow]
    finally:
        for one in slow:
            one.close()
    assert sum(b" 408 " in answer for answer in answers) == 100
    assert sum(answer == b"" for answer in answers) == 100
    # On a connection of its own: the client's was idle for so long that it may just be closed.
    assert httpx.get(f"{impatient_server.url}mlship/api/health").status_code == 200


def test_tokens_in_addresses_are_not_logged(lab_server):
    secret = "a-secret-that-is-not-logged"
    for address in (
        "api/lab",
        "api/no/such",
        "no/such",
        "docs",
        "openapi.json",
        "ai-manager/auth/me",
        "live",
    ):
        httpx.get(f"{lab_server.url}mlship/{address}?token={secret}&x=1")
        httpx.get(f"{lab_server.url}mlship/{address}?x=1&%74oken={secret}")
        raw(lab_server, head(lab_server, "GET", f"../{address}?t%6Fken={secret}", "Connection: close"))
    with pytest.raises(websockets.exceptions.InvalidStatus):
        connect(f"{lab_server.url.replace('http', 'ws', 1)}mlship/live?token={secret}")
    with connect(f"{lab_server.url.replace('http', 'ws', 1)}mlship/live?%74oken={lab_server.token}"):
        pass
    log = lab_server.log_file.read_text()
    assert "mlship/api/no/such?x=1&token=" in log.replace("%5B", "[")
    assert secret not in log
    assert lab_server.token not in log


def test_other_sites_get_no_permission_by_default(lab_server):
    origin = {"Origin": "https://other.example"}
    answer = lab_server.client.get("lab", headers=origin)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = lab_server.client.options("runs", headers={**origin, "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize(
    ("settings", "allowed", "credentials"),
    [
        ("c.ServerApp.allow_origin = 'https://other.example'", "https://other.example", None),
        ("c.ServerApp.allow_origin_pat = r'https://.*\\.example'", "https://other.example", None),
        (
            "c.ServerApp.allow_origin = 'https://other.example'; c.ServerApp.allow_credentials = True",
            "https://other.example",
            "true",
        ),
    ],
)
def test_other_sites_are_let_in_as_jupyter_is_set(
    tmp_path, template, monkeypatch, settings, allowed, credentials
):
    (tmp_path / "jupyter_server_config.py").write_text(settings)
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    server = run_server(tmp_path / "data", template=template)
    try:
        origin = {"Origin": "https://other.example"}
        asked = {
            **origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        preflight = httpx.options(f"{server.url}mlship/api/runs", headers=asked)
        assert preflight.status_code == 204
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        # Errors too: a browser shows a program nothing else.
        answers = [
            preflight,
            server.client.post("runs", json={"name": "from there"}, headers=origin),
            server.client.get("runs/99999", headers=origin),
            httpx.get(f"{server.url}mlship/api/lab", headers=origin),
        ]
        assert [one.status_code for one in answers] == [204, 201, 404, 401]
        for one in answers:
            assert one.headers["Access-Control-Allow-Origin"] == allowed
            assert one.headers.get("Access-Control-Allow-Credentials") == credentials
            assert one.headers["Vary"] == "Origin"
        if "pat" in settings:
            stranger = server.client.get("lab", headers={"Origin": "https://stranger.test"})
            assert "Access-Control-Allow-Origin" not in stranger.headers
    finally:
        server.stop()
