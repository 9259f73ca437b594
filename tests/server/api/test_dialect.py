"""APIs in the shapes of other systems: envelopes, errors, ids, forms, slashes, limits."""

import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest


@pytest.fixture(scope="module")
def boxed(example_server):
    with httpx.Client(
        base_url=f"{example_server.url}mlship/boxed/", headers=example_server.client.headers, timeout=30
    ) as client:
        yield client


@pytest.fixture(scope="module")
def fast(example_server):
    with httpx.Client(
        base_url=f"{example_server.url}mlship/fast/", headers=example_server.client.headers
    ) as client:
        yield client


def error_of(answer, status):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"success", "error", "correlation_id", "timestamp"}
    assert body["success"] is False
    assert body["correlation_id"] == answer.headers["X-Request-ID"]
    return body["error"]


def test_answers_come_in_the_envelope(boxed):
    answer = boxed.post("v1/things", json={"name": "first"})
    assert answer.status_code == 201
    body = answer.json()
    assert body == {
        "success": True,
        "data": {"id": body["data"]["id"], "name": "first"},
        "message": "Thing created.",
        "correlation_id": answer.headers["X-Request-ID"],
    }
    page = boxed.get("v1/things", params={"page": 1, "per_page": 1}).json()["data"]
    assert page["items"][0]["name"] == "first" and page["total"] >= 1
    nothing = boxed.put(f"v1/things/{body['data']['id']}/nothing")
    assert (nothing.status_code, nothing.json()["data"]) == (200, None)


def test_ids_are_dressed_in_paths_bodies_and_answers(boxed):
    identity = boxed.post("v1/things", json={"name": "dressed"}).json()["data"]["id"]
    assert identity.startswith("run_")
    assert boxed.get(f"v1/things/{identity}").json()["data"]["id"] == identity
    for undressed in (
        identity.removeprefix("run_"),
        "run_",
        "run_x",
        "run_²",
        "run_" + "9" * 30,
        "run_-1",
        "RUN_1",
    ):
        assert error_of(boxed.get(f"v1/things/{undressed}"), 404)["code"] == "RESOURCE_NOT_FOUND"
    wrong = error_of(boxed.post("v1/things", json={"name": "x", "parent": 12}), 422)
    assert wrong["details"]["field"] == "parent"


def test_what_is_written_out_wins_over_a_parameter(boxed):
    assert boxed.get("v1/things/newest").json()["data"] == "newest"


@pytest.mark.parametrize("path", ["v1/things", "v1/things/", "v1/things/newest", "v1/things/newest/"])
def test_a_slash_at_the_end_makes_no_difference(boxed, path):
    assert boxed.get(path).status_code == 200


def test_the_mount_itself_can_be_an_endpoint(example_server):
    for path in ("mlship/boxed", "mlship/boxed/"):
        assert httpx.get(example_server.url + path).json()["data"] == {"status": "healthy"}


def test_every_error_has_the_shape_of_its_api(example_server, boxed, fast):
    assert error_of(boxed.get("no/such"), 404)["code"] == "RESOURCE_NOT_FOUND"
    refused = boxed.patch("v1/things")
    assert error_of(refused, 405)["code"] == "INTERNAL"
    assert refused.headers["Allow"] == "GET, POST"
    assert error_of(boxed.get("v1/full"), 500)["message"] == "The disk is full."
    broken = boxed.get("v1/broken")
    assert "secret" not in error_of(broken, 500)["message"]
    # The log has what the caller is not told, under the same id.
    log = example_server.log_file.read_text()
    assert broken.headers["X-Request-ID"] in log and "the secret inside" in log
    anonymous = httpx.get(f"{boxed.base_url}v1/things")
    assert error_of(anonymous, 401)["code"] == "AUTHENTICATION_ERROR"
    assert anonymous.headers["WWW-Authenticate"] == "Bearer"
    assert httpx.get(f"{fast.base_url}items/1").json()["detail"]
    assert httpx.post(f"{fast.base_url}items/1").json() == {"detail": "Could not validate credentials"}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["v1/things", "no/such"])
def test_unusual_methods_are_refused_in_the_same_shape(boxed, method, path):
    answer = boxed.request(method, path)
    assert answer.status_code in (404, 405)
    if method != "HEAD":
        assert error_of(answer, answer.status_code)["message"]


@pytest.mark.parametrize(
    "path", ["v1/things/%ff", "no/%ff/such", "v1/%zz", "v1/things/%", "v1/things/%00", "%"]
)
def test_malformed_addresses_are_refused_in_the_same_shape(example_server, path):
    parts = urlsplit(example_server.url)
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        connection.sendall(
            f"GET /mlship/boxed/{path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
            f"Authorization: Bearer {example_server.token}\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert int(answer.split()[1]) in (400, 404, 422), answer
    assert b'"correlation_id"' in answer


def test_problems_of_a_request_have_their_place_in_it(fast):
    answer = fast.post("items/abc", params={"q": "x", "unknown": 1}, json={"name": "x" * 30})
    assert answer.status_code == 422
    assert [(one["loc"], one["type"]) for one in answer.json()["detail"]] == [
        (["path", "number"], "int_parsing"),
        (["query", "q"], "int_parsing"),
        (["body", "name"], "string_too_long"),
    ]
    assert fast.post("items/3", json={}).json()["detail"][0]["loc"] == ["body", "name"]
    # This API ignores what it does not know.
    assert fast.post("items/3?unknown=1", json={"name": "x"}).json() == {"number": 3, "name": "x", "q": 0}


def test_json_that_is_labeled_as_a_form_is_read_as_json(fast):
    label = {"Content-Type": "application/x-www-form-urlencoded"}
    assert fast.post("items/3", content=b'{"name": "x"}', headers=label).json()["name"] == "x"
    assert fast.post("items/3", content=b"name=x", headers=label).status_code == 422


def test_forms_come_urlencoded_or_multipart(boxed):
    expected = {"name": "ä b", "count": 3, "tags": ["x", "y"]}
    sent = {"name": "ä b", "count": "3", "tags": ["x", "y"]}
    assert boxed.post("v1/form", data=sent).json()["data"] == expected
    parts = [("name", (None, "ä b")), ("count", (None, "3")), ("tags", (None, "x")), ("tags", (None, "y"))]
    assert boxed.post("v1/form", files=parts).json()["data"] == expected
    single = boxed.post("v1/form", data={"name": "", "tags": "one"}).json()["data"]
    assert single == {"name": "", "count": 1, "tags": ["one"]}


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (422, {"data": {"count": "1"}}),
        (422, {"data": {"name": "x", "count": "many"}}),
        (422, {"data": {"name": "x", "more": "1"}}),
        (422, {"content": b"name=%ff"}),
        (415, {"json": {"name": "x"}}),
        (422, {"content": b"junk", "headers": {"Content-Type": "multipart/form-data"}}),
        (422, {"content": b"junk", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}),
        (422, {"files": {"name": ("a.txt", b"content")}}),
    ],
)
def test_bad_forms_are_refused(boxed, status, options):
    assert error_of(boxed.post("v1/form", **options), status)["message"]


def test_limits_are_told_and_kept(boxed):
    for left in (2, 1, 0):
        answer = boxed.get("v1/few")
        assert answer.status_code == 200
        assert answer.headers["X-RateLimit-Limit"] == "3"
        assert answer.headers["X-RateLimit-Remaining"] == str(left)
    refused = boxed.get("v1/few")
    assert refused.status_code == 429
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    # Another class of the same account is not touched.
    assert boxed.get("v1/things").status_code == 200


def test_limits_are_exact_when_many_ask_at_once(boxed):
    def ask(_):
        return crowd.get(f"{boxed.base_url}v1/crowd").status_code

    with httpx.Client(timeout=60) as crowd, ThreadPoolExecutor(30) as pool:
        found = list(pool.map(ask, range(300)))
    assert found.count(200) == 100
    assert found.count(429) == 200
