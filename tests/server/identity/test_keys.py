"""API keys: what they may do, when they end, when they were used."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from .conftest import at


def make(one, **fields) -> dict:
    answer = one.client.post("auth/keys", json={"name": "for tests", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_key_is_shown_once_and_recognized_by_its_beginning(lab_server, person):
    one = person()
    made = make(one, name="the laptop")
    assert made["key"].startswith("mlship_") and len(made["key"]) == 50
    assert made["key"].startswith(made["prefix"])
    listed = one.client.get("auth/keys")
    assert made["key"] not in listed.text
    assert listed.json()["items"] == [{name: value for name, value in made.items() if name != "key"}]
    with at(lab_server, made["key"]) as client:
        assert client.get("auth/me").json()["username"] == one.account["username"]
    with at(lab_server) as client:
        assert client.get("auth/me", params={"token": made["key"]}).status_code == 200
        assert client.get("auth/me", params={"token": made["key"][:-1]}).status_code == 401


def test_nothing_of_the_key_is_on_disk(tmp_path, start_server, person):
    server = start_server(tmp_path)
    one = person(server)
    key = make(one)["key"]
    server.kill()
    # Also not in the write-ahead log, which a crash leaves.
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (key, one.password, one.tokens["access_token"], one.tokens["refresh_token"]):
        assert secret.encode() not in kept


def test_a_key_has_at_most_what_its_maker_has(lab_server, person):
    one = person(permissions=["label", "train"])
    refused = one.client.post("auth/keys", json={"name": "k", "permissions": ["label", "deploy"]})
    assert refused.status_code == 403
    assert "deploy" in refused.json()["error"]["message"]
    assert make(one)["permissions"] == ["label", "read", "train"]
    assert make(one, permissions=[])["permissions"] == ["read"]
    both = make(one, permissions=["label", "train"])
    with at(lab_server, both["key"]) as client:
        assert client.post("runs", json={"name": "r"}).status_code == 201
        assert client.get("accounts").status_code == 403
        # What is taken from the account is taken from its keys.
        lab_server.client.patch(f"accounts/{one.account['id']}", json={"permissions": ["label"]})
        assert client.post("runs", json={"name": "r"}).status_code == 403
        assert client.get("auth/me").status_code == 200


def test_a_key_ends_when_it_expires(lab_server, person):
    one = person()
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    made = make(one, expires_at=soon.isoformat())
    with at(lab_server, made["key"]) as client:
        assert client.get("auth/me").status_code == 200
        time.sleep(max((soon - datetime.now(UTC)).total_seconds(), 0) + 0.1)
        assert client.get("auth/me").status_code == 401
    past = one.client.post("auth/keys", json={"name": "k", "expires_at": "2020-01-01T00:00:00Z"})
    assert past.status_code == 422


@pytest.mark.parametrize("crash", [True, False])
def test_a_revoked_key_stays_revoked(tmp_path, start_server, person, crash):
    server = start_server(tmp_path)
    one = person(server)
    revoked, stays = make(one), make(one)
    assert one.client.delete(f"auth/keys/{revoked['id']}").status_code == 204
    assert one.client.delete(f"auth/keys/{revoked['id']}").status_code == 204
    with at(server, revoked["key"]) as client:
        assert client.get("auth/me").status_code == 401
    server.kill() if crash else server.stop()
    server = start_server(tmp_path)
    for made, expected in ((revoked, 401), (stays, 200)):
        with at(server, made["key"]) as client:
            assert client.get("auth/me").status_code == expected
    listed = server.client.get("auth/keys", params={"all": True}).json()["items"]
    assert {key["id"]: key["revoked_at"] is not None for key in listed} == {
        revoked["id"]: True,
        stays["id"]: False,
    }


def test_anothers_key_does_not_exist_for_me(lab_server, person):
    one, other = person(), person()
    made = make(one)
    assert other.client.delete(f"auth/keys/{made['id']}").status_code == 404
    assert other.client.get("auth/keys").json()["total"] == 0
    assert other.client.get("auth/keys", params={"all": True}).status_code == 403
    everybodys = lab_server.client.get("auth/keys", params={"all": True, "limit": 1000}).json()["items"]
    assert made["id"] in [key["id"] for key in everybodys]
    assert lab_server.client.delete(f"auth/keys/{made['id']}").status_code == 204


def test_a_key_makes_no_keys_and_changes_no_password(lab_server, person):
    made = make(person())
    with at(lab_server, made["key"]) as client:
        assert client.post("auth/keys", json={"name": "k"}).status_code == 403
        assert client.delete(f"auth/keys/{made['id']}").status_code == 403
        change = {"old": "correct horse battery", "new": "another password"}
        assert client.post("auth/password", json=change).status_code == 403
    administrators = make(person(permissions=["admin"]))
    with at(lab_server, administrators["key"]) as client:
        assert client.post("auth/keys", json={"name": "k"}).status_code == 201


def test_the_last_use_is_seen_at_once_and_survives_a_restart(tmp_path, start_server, person):
    server = start_server(tmp_path)
    one = person(server)
    used, unused = make(one), make(one)
    with at(server, used["key"]) as client:
        client.get("auth/me")

    def last_uses(client) -> dict:
        items = client.get("auth/keys", params={"all": True}).json()["items"]
        return {key["id"]: key["last_used_at"] for key in items}

    seen = last_uses(server.client)
    assert seen[unused["id"]] is None
    moment = datetime.fromisoformat(seen[used["id"]])
    assert timedelta(0) <= datetime.now(UTC) - moment < timedelta(minutes=1)
    server.stop()
    assert last_uses(start_server(tmp_path).client) == seen
