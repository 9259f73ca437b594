"""What belongs to somebody else: not there when it is private, for reading only when it is public.

Every declared endpoint with something in its path is asked, so that a new one cannot be forgotten.
"""

import re
import uuid
from typing import Any

import httpx
import pytest

from modelship_lab.server.api import routes  # noqa: F401  (declares the endpoints)
from modelship_lab.server.api.dialect import NATIVE
from modelship_lab.server.api.endpoint import Endpoint
from tests.server.ownership.conftest import Belongings, Somebody

NEVER_PUBLIC = ("webhook_id", "key_id", "upload_id")
CHANGES = ("cancel_job",)
"""Need `read` before it is known what they are about, and then more."""


def body_of(name: str, things: Belongings) -> dict[str, Any]:
    """A valid request body for an endpoint that takes one."""
    label = {"sample_id": things.sample, "label": "ham", "key": uuid.uuid4().hex}
    suggestion = {"sample_id": things.sample, "label": "ham", "confidence": 0.5}
    return {
        "begin_job": {"json": {"kind": "embeddings"}},
        "begin_model_export": {"json": {}},
        "begin_training": {"json": {}},
        "accept_suggestions": {"json": {}},
        "begin_export": {"json": {"format": "csv"}},
        "begin_import": {"params": {"format": "csv"}, "content": b"text\nhello\n"},
        "change_project": {"json": {"description": "changed"}},
        "change_run": {"json": {"notes": "changed"}},
        "change_stage": {"json": {"stage": "Staging"}},
        "change_account": {"json": {"full_name": "changed"}},
        "count_samples": {"json": {}},
        "create_snapshot": {"json": {}},
        "export_labels": {"params": {"format": "csv"}},
        "log_metrics": {"json": {"points": [{"name": "loss", "value": 1}]}},
        "predict": {"json": {"data": "won"}},
        "release_samples": {"json": {}},
        "request_samples": {"json": {"samples": {}}},
        "resume_run": {"json": {}},
        "save_artifact": {"content": b"changed"},
        "revoke_labels": {"json": {"origin": "model:3", "key": uuid.uuid4().hex}},
        "save_part": {"params": {"offset": 0}, "content": b"hello"},
        "save_bulk": {"json": {"samples": {}, "label": "ham", "key": uuid.uuid4().hex}},
        "save_bundle": {"content": b"no tar"},
        "read_significance": {"params": {"other": things.run}},
        "save_gold": {"json": {"gold": [{"sample_id": things.sample, "label": "ham"}]}},
        "save_labels": {"json": {"labels": [label]}},
        "save_groups": {"json": {"groups": [{"name": "twins", "sample_ids": [things.sample]}]}},
        "save_selection": {"json": {"name": uuid.uuid4().hex, "samples": {}}},
        "save_suggestions": {"json": {"source": "test", "suggestions": [suggestion]}},
        "undo_label": {"json": {"key": uuid.uuid4().hex, "label_id": things.label}},
    }.get(name, {})


def ask(client: httpx.Client, endpoint: Endpoint, things: Belongings) -> httpx.Response:
    path = re.sub(r"\{(\w+)\}", lambda found: str(things.of(found[1])), endpoint.path)
    return client.request(endpoint.method, path, **body_of(endpoint.name, things))


OF_THINGS = [
    one
    for one in NATIVE.endpoints
    # A table is nobody's; its rows are, which the tests of SQL look at.
    if one.path_names and one.permission != "admin" and one.name != "read_table"
]
LISTS = [one for one in NATIVE.endpoints if one.method == "GET" and not one.path_names and one.permission]


def named(endpoint: Endpoint) -> str:
    return endpoint.name


@pytest.mark.parametrize("endpoint", OF_THINGS, ids=named)
def test_what_is_private_is_not_there_for_others(
    endpoint: Endpoint, alice: Somebody, bob: Somebody, private: Belongings
) -> None:
    answer = ask(bob.client, endpoint, private)
    assert answer.status_code == 404, answer.text
    assert private.mark not in answer.text
    if endpoint.method == "GET":
        # So that it is the person who is refused, and not what was asked.
        assert ask(alice.client, endpoint, private).status_code == 200


@pytest.mark.parametrize(
    "endpoint", [one for one in OF_THINGS if not set(one.path_names) & set(NEVER_PUBLIC)], ids=named
)
def test_what_is_public_can_be_read_by_all_and_changed_by_its_owner_alone(
    endpoint: Endpoint, bob: Somebody, public: Belongings
) -> None:
    answer = ask(bob.client, endpoint, public)
    if endpoint.permission == "read" and endpoint.name not in CHANGES:
        assert answer.is_success, answer.text
    else:
        assert answer.status_code == 403, answer.text
        assert "belongs to somebody else" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "endpoint", [one for one in NATIVE.endpoints if one.permission == "admin"], ids=named
)
def test_what_is_for_administrators_is_refused_to_others(
    endpoint: Endpoint, bob: Somebody, private: Belongings
) -> None:
    assert ask(bob.client, endpoint, private).status_code == 403


@pytest.mark.parametrize("endpoint", LISTS, ids=named)
def test_no_list_tells_of_what_is_private(
    endpoint: Endpoint, alice: Somebody, bob: Somebody, private: Belongings
) -> None:
    wanted = {"limit": 1000} if "limit" in endpoint.parameters.model_fields else {}
    told = bob.client.get(endpoint.path, params=wanted)
    if endpoint.permission == "admin":
        assert told.status_code == 403
        return
    assert told.status_code == 200, told.text
    assert private.mark not in told.text
    # Which tables there are is nobody's either.
    if "Page" in str(endpoint.response) and endpoint.name != "list_tables":
        assert private.mark in alice.client.get(endpoint.path, params=wanted).text
