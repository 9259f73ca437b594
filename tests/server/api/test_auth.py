"""Who is let in: every address of the lab server, with and without credentials."""

import json
import re

import httpx
import pytest

from modelship_lab.server.api import routes
from modelship_lab.server.api.dialect import NATIVE
from modelship_lab.server.identity.policy import WITHOUT_CREDENTIAL


def example(path):
    """The path of an endpoint with something in its parameters."""
    return re.sub(r"\{\w+\}", "1", path)


PUBLIC = {
    (one.method, f"mlship/api/{one.path}")
    for one in NATIVE.endpoints
    if one.name in WITHOUT_CREDENTIAL["api"]
}
"""What answers without a credential, and nothing else does."""

EVERY_ADDRESS = [(one.method, f"mlship/api/{example(one.path)}") for one in NATIVE.endpoints] + [
    ("GET", "mlship/openapi.json")
]


@pytest.mark.parametrize(
    ("method", "path"), EVERY_ADDRESS, ids=[f"{method} {path}" for method, path in EVERY_ADDRESS]
)
def test_every_address_needs_a_credential(lab_server, method, path):
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic b3duZXI6"},
        {"Cookie": "username=owner"},
    ):
        answer = httpx.request(method, lab_server.url + path, headers=headers)
        if (method, path) in PUBLIC:
            assert answer.status_code in (200, 422), answer.text
        else:
            assert answer.status_code == 401, (headers, answer.text)
            body = answer.json()
            assert body["error"]["code"] == "UNAUTHENTICATED"
            assert body["request_id"] == answer.headers["X-Request-ID"]


def test_the_routes_that_tornado_serves_are_the_ones_tested_here():
    """An address added beside the declared endpoints must be added to these tests too."""
    patterns = {pattern for pattern, *_ in routes.all_routes(services=None)}
    declared = {f"/mlship/api/{example(one.path)}" for one in NATIVE.endpoints}
    others = {pattern for pattern in patterns if not any(re.fullmatch(pattern, path) for path in declared)}
    assert others == {
        r"/mlship/openapi\.json",
        "/mlship/docs",
        r"/mlship/api/openapi\.json",
        "/mlship/api/docs",
        "/mlship/live",
        "/mlship/static/(.+)",
    }


def test_the_token_is_taken_from_header_or_query(lab_server):
    for arguments in (
        {"headers": {"Authorization": f"Bearer {lab_server.token}"}},
        {"headers": {"Authorization": f"token {lab_server.token}"}},
        {"params": {"token": lab_server.token}},
    ):
        assert httpx.get(f"{lab_server.url}mlship/api/lab", **arguments).status_code == 200


def test_a_browser_with_the_cookie_needs_the_xsrf_header_too(lab_server):
    with httpx.Client(base_url=lab_server.url, follow_redirects=True) as browser:
        # With the token in the address, as Jupyter prints it, the browser gets its cookies.
        browser.get("api/status", params={"token": lab_server.token})
        browser.get("mlship/docs")
        assert browser.get("mlship/api/lab").status_code == 200
        forged = browser.post("mlship/api/runs", json={"name": "from another site"})
        assert forged.status_code == 403
        assert forged.json()["error"]["code"] == "PERMISSION_DENIED"
        honest = browser.post(
            "mlship/api/runs", json={"name": "mine"}, headers={"X-XSRFToken": browser.cookies["_xsrf"]}
        )
        assert honest.status_code == 201


def test_the_page_of_the_api_sends_a_person_to_the_login(lab_server):
    answer = httpx.get(f"{lab_server.url}mlship/docs")
    assert answer.status_code == 302
    assert "/login?next=" in answer.headers["Location"]
    assert lab_server.client.get(f"{lab_server.url}mlship/docs").status_code == 200


def test_errors_have_one_shape_and_tell_nothing_of_the_inside(lab_server):
    client = lab_server.client
    wrong = [
        client.get("no/such/address"),
        client.get("runs/abc"),
        client.get("runs/999999"),
        client.put("lab"),
        client.get("runs", params={"limit": "many", "nonsense": 1}),
        client.post("runs", content=b"{broken"),
        client.post("runs", content=b"[" * 100_000),
        client.post("runs", content=b'{"name": "\xff"}'),
    ]
    for answer in wrong:
        assert 400 <= answer.status_code < 500, answer.text
        body = answer.json()
        assert set(body) == {"error", "request_id"}
        assert set(body["error"]) == {"code", "message", "details"}
        assert body["request_id"] == answer.headers["X-Request-ID"]
        assert "Traceback" not in answer.text
        assert str(lab_server.data_dir) not in answer.text


def test_a_body_that_is_too_large_is_refused_early(lab_server):
    answer = lab_server.client.post("runs", content=b" " * (17 << 20))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_the_token_is_not_written_to_the_log(lab_server):
    httpx.get(f"{lab_server.url}mlship/api/lab", params={"token": lab_server.token})
    httpx.get(f"{lab_server.url}mlship/api/nothing", params={"token": lab_server.token})
    assert lab_server.token not in lab_server.log_file.read_text()


def test_the_description_covers_every_endpoint(lab_server):
    document = lab_server.client.get(f"{lab_server.url}mlship/openapi.json").json()
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(one.method, f"/mlship/api/{one.path}") for one in NATIVE.endpoints}
    # Every reference leads somewhere.
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            assert ("security" in operation) == ((method.upper(), path.removeprefix("/")) not in PUBLIC)
