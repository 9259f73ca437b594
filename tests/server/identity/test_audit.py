"""The audit log: who did what, and that it tells no secrets."""

from .conftest import PASSWORD, at, login, new_name


def test_every_step_of_a_credential_is_in_the_audit_log(lab_server, person):
    here = "127.0.0.77"
    one = person()
    number, username = one.account["id"], one.account["username"]
    login(lab_server, username, "wrong password", here)
    key = one.client.post("auth/keys", json={"name": "k"}).json()
    one.client.delete(f"auth/keys/{key['id']}")
    answer = one.client.post("auth/logout")
    page = lab_server.client.get("audit", params={"topic": f"account:{number}"}).json()
    entries = page["items"][::-1]
    assert page["total"] == len(entries)
    assert [entry["type"] for entry in entries] == [
        "account.created",
        "login.succeeded",
        "login.failed",
        "key.created",
        "key.revoked",
        "session.revoked",
    ]
    created, succeeded, failed, *_, ended = entries
    assert (created["account_id"], created["credential"], created["author"]) == (1, "lab token", "owner")
    session = succeeded["payload"]["session"]
    assert succeeded["credential"] == f"session:{session}" == ended["credential"]
    assert (failed["account_id"], failed["credential"], failed["address"]) == (number, "password", here)
    assert failed["payload"] == {}
    assert {entry["owner_id"] for entry in entries} == {number}
    assert ended["request_id"] == answer.headers["X-Request-ID"]
    assert ended["payload"] == {"sessions": [session], "reason": "logout"}


def test_a_name_that_nobody_has_is_not_written_down(lab_server):
    typed = new_name("a-password-typed-as-a-name")
    login(lab_server, typed, PASSWORD, "127.0.0.78")
    entry = lab_server.client.get("audit", params={"type": "login.failed"}).json()["items"][0]
    assert (entry["account_id"], entry["topic"], entry["address"]) == (0, "login", "127.0.0.78")
    assert typed not in lab_server.client.get("audit", params={"limit": 1000}).text


def test_the_audit_log_is_filtered_and_paged(lab_server, person):
    one = person(permissions=["admin"])
    for number in range(3):
        one.client.post("auth/keys", json={"name": f"k{number}"})
    mine = {"account": one.account["username"], "type": "key.created"}
    page = lab_server.client.get("audit", params={**mine, "limit": 2}).json()
    assert [entry["payload"]["name"] for entry in page["items"]] == ["k2", "k1"]
    assert page["total"] == 3
    older = one.client.get("audit", params={**mine, "before": page["items"][-1]["id"]}).json()
    assert [entry["payload"]["name"] for entry in older["items"]] == ["k0"]
    assert lab_server.client.get("audit", params={"type": "nothing"}).status_code == 422
    assert lab_server.client.get("audit", params={"account": "nobody-at-all"}).status_code == 404


def test_the_audit_log_is_for_administrators(lab_server, person):
    assert person().client.get("audit").status_code == 403


def test_secrets_are_in_no_log_event_or_error(tmp_path, start_server, person):
    server = start_server(tmp_path)
    one = person(server, password="hush of the account")
    key = one.client.post("auth/keys", json={"name": "k"}).json()["key"]
    said = [login(server, one.account["username"], "hush that is wrong").text]
    said.append(server.client.post("accounts", json={"username": "!", "password": "hush refused"}).text)
    said.append(server.client.post("accounts", json={"username": "x", "password": "hush"}).text)
    with at(server) as client:
        for secret in (key, one.tokens["access_token"], "hush-of-nobody"):
            said.append(client.get("nothing/here", params={"token": secret}).text)
            said.append(client.get("auth/me", params={"token": secret + "x"}).text)
        said.append(client.post("auth/refresh", json={"refresh_token": "hush refresh"}).text)
        said.append(client.post("auth/login", json={"username": ["hush name"], "password": 1}).text)
    change = {"old": "hush old one", "new": "hush new one"}
    said.append(one.client.post("auth/password", json=change).text)
    said.append(server.client.get("audit", params={"limit": 1000}).text)
    said.append(server.client.get("events", params={"limit": 1000}).text)
    said.append(server.log_file.read_text())
    for secret in (
        "hush",
        key,
        one.tokens["access_token"],
        one.tokens["refresh_token"],
        (tmp_path / "signing_key").read_text(),
        "$argon2id$",
    ):
        assert not any(secret in text for text in said), secret[:12]
