"""Every door of every API: it needs a credential, it is described, and no request makes the server fail."""

import importlib
import json
import pkgutil
import re
from typing import Any, get_args

import httpx
import pytest
import schemathesis
import websockets.exceptions
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance
from websockets.sync.client import connect

from modelship_lab.records.identity import Permission
from modelship_lab.server import api as api_package
from modelship_lab.server.api import routes
from modelship_lab.server.api.dialect import NATIVE
from modelship_lab.server.api.endpoint import endpoints_of
from modelship_lab.server.dialects import DIALECTS
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import WITHOUT_CREDENTIAL
from tests.conftest import run_server

APIS = (NATIVE, *DIALECTS)

EXAMPLES = 3
"""Requests that are made up for each operation."""

DOORS = [(api.name, one) for api in APIS for one in api.endpoints]
DOOR_NAMES = [f"{api}-{one.method}-{one.path}" for api, one in DOORS]

SOCKETS = [f"mlship/{api.name}/{one.path}" for api in APIS for one in api.sockets] + ["mlship/live"]

DESCRIPTIONS = ["mlship/openapi.json", "mlship/docs"] + [
    f"mlship/{api.name}/{name}" for api in APIS for name in ("openapi.json", "docs")
]


def example(path):
    """The path of an endpoint with something in its parameters."""
    return re.sub(r"\{\w+\}", "1", path)


@pytest.fixture(scope="module")
def connection():
    # Each new client would read all certificates first, which takes longer than what is asked.
    with httpx.Client() as client:
        yield client


@pytest.fixture
def stranger(connection):
    """Somebody without a credential, and without what earlier answers have left."""
    connection.cookies.clear()
    return connection


@pytest.mark.parametrize(("api", "endpoint"), DOORS, ids=DOOR_NAMES)
def test_every_endpoint_needs_a_credential(lab_server, stranger, api, endpoint):
    address = f"{lab_server.url}mlship/{api}/{example(endpoint.path)}"
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic b3duZXI6"},
        {"Cookie": "username=owner"},
    ):
        answer = stranger.request(endpoint.method, address, headers=headers)
        if endpoint.name in WITHOUT_CREDENTIAL.get(api, ()):
            # A login that is wrong is refused, too, but for what was sent.
            assert answer.status_code in (200, 400, 422), answer.text
        else:
            assert answer.status_code == 401, (headers, answer.text)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize(("api", "endpoint"), DOORS, ids=DOOR_NAMES)
def test_no_other_method_gets_in(lab_server, stranger, api, endpoint):
    declared = {one.method for name, one in DOORS if name == api and one.path == endpoint.path}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"} - declared:
        answer = stranger.request(method, f"{lab_server.url}mlship/{api}/{example(endpoint.path)}")
        assert answer.status_code == 405, method
        assert set(answer.headers["Allow"].split(", ")) == declared


@pytest.mark.parametrize("path", SOCKETS)
def test_every_socket_needs_a_credential(lab_server, path):
    address = f"{lab_server.url.replace('http', 'ws', 1)}{example(path)}"
    for query, headers in (("", {}), ("?token=wrong", {}), ("", {"Authorization": "Bearer wrong"})):
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            connect(address + query, additional_headers=headers).close()
        assert refused.value.response.status_code == 401


@pytest.mark.parametrize("path", DESCRIPTIONS)
def test_every_description_needs_a_credential(lab_server, path):
    answer = httpx.get(lab_server.url + path)
    # A person is led to the login.
    assert answer.status_code == (302 if path.endswith("docs") else 401)
    assert lab_server.client.get(lab_server.url + path).status_code == 200


def test_what_answers_without_a_credential_is_written_in_the_policy():
    for api in APIS:
        open_to_all = {one.name for one in api.endpoints if one.permission is None}
        assert open_to_all == WITHOUT_CREDENTIAL.get(api.name, frozenset()), api.name


def test_every_declared_endpoint_is_served():
    """Those of a module that `routes` does not name would be nowhere."""
    modules = [
        importlib.import_module(f"{api_package.__name__}.{one.name}")
        for one in pkgutil.iter_modules(api_package.__path__)
    ]
    assert {one.name for one in endpoints_of(*modules)} == {one.name for one in NATIVE.endpoints}


def test_every_permission_is_explained_in_the_policy_and_is_the_owners(lab_server):
    permissions = get_args(Permission)
    assert tuple(re.findall(r"^\| `(\w+)` ", policy.__doc__, re.MULTILINE)) == permissions
    assert set(lab_server.client.get("auth/me").json()["permissions"]) == set(permissions)


def test_tornado_serves_no_other_addresses():
    """An address that is added beside the declared ones must be added to these tests, too."""
    known = {rf"/{path}".replace(".", r"\.") for path in DESCRIPTIONS} | {
        "/mlship/live",
        "/mlship/static/(.+)",
    }
    known |= {r"/mlship/.*"} | {rf"/mlship/{api.name}(?:/.*)?" for api in APIS}
    declared = [f"/mlship/{api}/{example(one.path)}".rstrip("/") for api, one in DOORS]
    declared += [f"/{example(path)}" for path in SOCKETS]
    for pattern, *_ in routes.all_routes(services=None, dialects=DIALECTS):
        assert pattern in known or any(re.fullmatch(pattern, path) for path in declared), pattern


@pytest.fixture(scope="module")
def open_server(tmp_path_factory, template):
    """A server of its own: what is made up here, e.g. accounts, would disturb other tests."""
    data_dir = tmp_path_factory.mktemp("doors")
    server = run_server(data_dir, "--no-rate-limits", "--open-registration", template=template)
    yield server
    server.stop()


def document_of(server, api) -> dict[str, Any]:
    return server.client.get(f"{server.url}mlship/{api.name}/openapi.json").raise_for_status().json()


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_the_description_is_valid_and_covers_every_door(open_server, api):
    document = document_of(open_server, api)
    validate(document)
    assert document["info"]["title"] == api.title
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(one.method, f"/mlship/{api.name}/{one.path}") for one in api.endpoints}
    assert set(document.get("x-websockets", {})) == {f"/mlship/{api.name}/{one.path}" for one in api.sockets}
    # Every reference leads somewhere.
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    names = [
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    ]
    assert len(names) == len(set(names))
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            is_public = operation["operationId"] in WITHOUT_CREDENTIAL.get(api.name, ())
            assert ("security" in operation) == (not is_public)
            if not is_public:
                assert "401" in operation["responses"] and "403" in operation["responses"]
            if "204" in operation["responses"]:
                assert "content" not in operation["responses"]["204"]


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_the_page_names_its_api_and_leads_to_the_others(open_server, api):
    page = open_server.client.get(f"{open_server.url}mlship/{api.name}/docs").text
    assert f"<title>{api.title} API</title>" in page
    for other in APIS:
        assert (f'href="/mlship/{other.name}/docs"' in page) == (other is not api)


def failures_of(operation, server) -> list[str]:
    """What made-up requests to one operation brought to light."""
    failures = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy())
    def ask(case):
        try:
            case.call_and_validate(
                headers={"Authorization": f"Bearer {server.token}"},
                checks=[not_a_server_error, status_code_conformance],
                timeout=30,
            )
        except Exception as error:
            causes = getattr(error, "exceptions", (error,))
            failures.append(
                f"{operation.label}: {'; '.join(str(cause) for cause in causes)}\n{case.as_curl_command()}"
            )

    ask()
    return failures


@pytest.mark.slow
@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_made_up_requests_get_documented_answers(open_server, api):
    schema = schemathesis.openapi.from_dict(document_of(open_server, api))
    schema.config.base_url = open_server.url.rstrip("/")
    failures = [
        failure for found in schema.get_all_operations() for failure in failures_of(found.ok(), open_server)
    ]
    assert not failures, "\n\n".join(failures)
