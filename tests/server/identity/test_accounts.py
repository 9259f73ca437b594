"""Accounts: made, changed and deactivated by administrators, or registered by themselves."""

import httpx
import pytest

from modelship_lab.server.identity.policy import ALL, REGISTERED

from .conftest import PASSWORD, at, login, new_name


def test_the_owner_is_there_from_the_start(lab_server):
    me = lab_server.client.get("auth/me").json()
    assert (me["id"], me["username"], me["is_active"], me["has_password"]) == (1, "owner", True, False)
    assert set(me["permissions"]) == ALL


def test_an_account_is_found_by_id_and_by_username_in_any_case(lab_server, person):
    made = person(username=new_name("Grace"), email=f"{new_name()}@Example.org", full_name="Grace H.").account
    for name in (made["id"], made["username"], made["username"].upper()):
        assert lab_server.client.get(f"accounts/{name}").json() == made
    found = lab_server.client.get("accounts", params={"search": made["email"].lower()}).json()
    assert found["items"] == [made]
    assert lab_server.client.get("accounts/nobody-of-this-name").status_code == 404


def test_names_are_unique_in_any_case_and_no_name_is_anothers_email(lab_server, person):
    email = f"{new_name()}@example.org"
    made = person(email=email).account
    for taken, field in (
        ({"username": made["username"].upper()}, "username"),
        ({"username": new_name(), "email": email.upper()}, "email"),
        ({"username": email}, "username"),
    ):
        answer = lab_server.client.post("accounts", json={"password": PASSWORD, **taken})
        assert answer.status_code == 409, answer.text
        assert answer.json()["error"]["details"][0]["field"] == field
    other = person().account
    answer = lab_server.client.patch(f"accounts/{other['id']}", json={"email": email})
    assert answer.status_code == 409
    # One's own stays one's own.
    answer = lab_server.client.patch(f"accounts/{made['id']}", json={"email": email.upper()})
    assert answer.status_code == 200


def test_both_names_log_in(lab_server, person):
    made = person(email=f"{new_name()}@example.org").account
    for name in (made["username"], made["username"].upper(), made["email"]):
        assert login(lab_server, name, PASSWORD).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "12"},
        {"username": "two words"},
        {"username": ""},
        {"password": "short"},
        {"email": "no address"},
        {"permissions": ["everything"]},
        {"is_admin": True},
    ],
)
def test_a_wrong_account_is_refused_without_repeating_its_password(lab_server, fields):
    secret = "do not repeat this"
    answer = lab_server.client.post("accounts", json={"username": new_name(), "password": secret, **fields})
    assert answer.status_code == 422
    assert secret not in answer.text


def test_registration_is_closed_but_for_administrators(lab_server, person):
    new = {"username": new_name(), "password": PASSWORD}
    for client in (at(lab_server), person().client):
        refused = client.post("auth/register", json=new)
        assert refused.status_code == 403
        assert "closed" in refused.json()["error"]["message"]
    made = lab_server.client.post("auth/register", json={**new, "permissions": ["read", "label"]})
    assert made.status_code == 201
    assert made.json()["permissions"] == ["label", "read"]


def test_who_registers_gets_what_everybody_gets(tmp_path, start_server):
    server = start_server(tmp_path, "--open-registration")
    with at(server) as nobody:
        new = {"username": "ada", "password": PASSWORD, "email": "ada@example.org"}
        greedy = nobody.post("auth/register", json={**new, "permissions": ["read"]})
        assert greedy.status_code == 403
        made = nobody.post("auth/register", json=new)
        assert made.status_code == 201
        assert set(made.json()["permissions"]) == REGISTERED
        assert nobody.post("auth/register", json={**new, "username": "Ada"}).status_code == 409
    token = login(server, "ada@example.org", PASSWORD).json()["access_token"]
    with at(server, token) as ada:
        assert ada.get("auth/me").json()["username"] == "ada"
        assert ada.post(
            "projects", json={"name": "mine", "task": "text_classification", "classes": ["a", "b"]}
        )
        for method, path in (("GET", "accounts"), ("GET", "accounts/1"), ("GET", "audit")):
            assert ada.request(method, path).status_code == 403
    entry = server.client.get("audit", params={"type": "account.created"}).json()["items"][0]
    assert (entry["author"], entry["credential"], entry["address"]) == ("ada", "registration", "127.0.0.1")


def test_an_open_server_on_the_network_says_so_in_its_log(tmp_path, start_server):
    server = start_server(tmp_path, "--open-registration", "--host", "0.0.0.0")
    assert "Registration is open" in server.log_file.read_text()


def test_the_owner_stays_an_administrator(lab_server):
    for change in ({"is_active": False}, {"permissions": ["read"]}, {"permissions": ["admin", "read"]}):
        refused = lab_server.client.patch("accounts/owner", json=change)
        assert refused.status_code == 409, refused.text
    assert lab_server.client.patch("accounts/1", json={"full_name": "The owner"}).status_code == 200


def test_an_administrator_gives_only_what_they_have(lab_server, person):
    limited = person(permissions=["admin", "label"])
    new = {"username": new_name(), "password": PASSWORD}
    refused = limited.client.post("accounts", json={**new, "permissions": ["deploy_code"]})
    assert refused.status_code == 403
    assert "deploy_code" in refused.json()["error"]["message"]
    made = limited.client.post("accounts", json={**new, "permissions": ["label"]}).json()
    assert limited.client.patch(f"accounts/{made['id']}", json={"permissions": ["train"]}).status_code == 403
    # Nor do they take over an account that may do more.
    assert limited.client.patch("accounts/1", json={"password": PASSWORD}).status_code == 403
    assert limited.client.patch(f"accounts/{made['id']}", json={"permissions": []}).json()["permissions"] == [
        "read"
    ]


def test_an_administrator_sets_the_first_password(lab_server):
    made = lab_server.client.post("accounts", json={"username": new_name()}).json()
    assert made["has_password"] is False
    assert login(lab_server, made["username"], "").status_code == 401
    lab_server.client.patch(f"accounts/{made['id']}", json={"password": PASSWORD})
    assert login(lab_server, made["username"], PASSWORD).status_code == 200


def test_a_password_of_seven_characters_is_too_short_wherever_it_is_set(lab_server, person):
    one = person()
    change = {"old": PASSWORD, "new": "seven77"}
    for answer in (
        lab_server.client.post("accounts", json={"username": new_name(), "password": "seven77"}),
        lab_server.client.patch(f"accounts/{one.account['id']}", json={"password": "seven77"}),
        one.client.post("auth/password", json=change),
    ):
        assert answer.status_code == 422
        assert "at least 8 characters" in answer.json()["error"]["message"]
    assert login(lab_server, one.account["username"], PASSWORD).status_code == 200
    assert one.client.post("auth/password", json={**change, "new": "eight888"}).status_code == 204


def test_a_deactivated_account_is_out_at_once_with_all_it_has(lab_server, person):
    one = person()
    key = one.client.post("auth/keys", json={"name": "k"}).json()["key"]
    for change, expected in (({"is_active": False}, 401), ({"is_active": True}, 200)):
        assert lab_server.client.patch(f"accounts/{one.account['id']}", json=change).status_code == 200
        with at(lab_server, key) as client:
            assert client.get("auth/me").status_code == expected
        assert login(lab_server, one.account["username"], PASSWORD).status_code == expected
        refreshed = httpx.post(
            f"{lab_server.url}mlship/api/auth/refresh",
            json={"refresh_token": one.tokens["refresh_token"]},
        )
        # What was ended stays ended.
        assert refreshed.status_code == 401
        assert one.client.get("auth/me").status_code == 401


def test_changed_permissions_hold_at_once(lab_server, person):
    one = person(permissions=["read"])
    assert one.client.post("runs", json={"name": "r"}).status_code == 403
    lab_server.client.patch(f"accounts/{one.account['id']}", json={"permissions": ["train"]})
    assert one.client.post("runs", json={"name": "r"}).status_code == 201


def test_only_administrators_hear_where_the_lab_lies(lab_server, person):
    everybody = person()
    told = everybody.client.get("lab").json()
    assert told["account_id"] == everybody.account["id"]
    assert (told["pid"], told["data_dir"]) == (None, None)
    own = lab_server.client.get("lab").json()
    assert (own["account_id"], own["data_dir"]) == (1, str(lab_server.data_dir))
