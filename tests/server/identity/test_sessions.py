"""Logins: tokens, their renewal, theft, and the end of a session."""

import base64
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor

import argon2
import duckdb
import jwt
import pytest

from .conftest import PASSWORD, at, login, new_name, somewhere


def refresh(server, token: str):
    with at(server, source=somewhere()) as client:
        return client.post("auth/refresh", json={"refresh_token": token})


def status(server, credential: str) -> int:
    with at(server, credential) as client:
        return client.get("auth/me").status_code


def claims_of(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


def signed(server, claims: dict, key: bytes | None = None, algorithm: str = "HS256", **headers) -> str:
    kept = bytes.fromhex((server.data_dir / "signing_key").read_text())
    return jwt.encode(claims, kept if key is None else key, algorithm, headers=headers)


def test_a_login_gives_tokens_that_work_until_they_end(lab_server, person):
    one = person()
    assert one.client.get("auth/me").json() == one.account
    assert one.tokens["token_type"] == "bearer"
    claims = claims_of(one.tokens["access_token"])
    assert claims["iss"] == lab_server.client.get("lab").json()["lab_id"]
    assert claims["exp"] - claims["iat"] == one.tokens["expires_in"] == 3600
    lasts = claims_of(one.tokens["refresh_token"])
    assert lasts["exp"] - lasts["iat"] == 30 * 24 * 3600


def test_lifetimes_are_settings(tmp_path, start_server, person, monkeypatch):
    (tmp_path / "jupyter_server_config.py").write_text(
        "c.ModelShipLab.access_token_minutes = 1\nc.ModelShipLab.session_days = 2\n"
    )
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    server = start_server(tmp_path)
    tokens = person(server).tokens
    assert tokens["expires_in"] == 60
    lasts = claims_of(tokens["refresh_token"])
    assert lasts["exp"] - lasts["iat"] == 2 * 24 * 3600


def test_a_wrong_password_and_an_unknown_name_are_told_alike(lab_server, person):
    known = login(lab_server, person().account["username"], "wrong password")
    unknown = login(lab_server, new_name(), "wrong password")
    assert known.status_code == unknown.status_code == 401
    assert known.json()["error"] == unknown.json()["error"]


def test_an_unknown_name_takes_as_long_as_a_known_one(lab_server, person):
    def seconds(username: str) -> float:
        took = []
        for _ in range(4):
            started = time.perf_counter()
            assert login(lab_server, username, "wrong password").status_code == 401
            took.append(time.perf_counter() - started)
        return sorted(took)[1]

    known, unknown = seconds(person().account["username"]), seconds(new_name())
    no_password = seconds("owner")
    # A hash takes tens of milliseconds; what would tell is an answer without one.
    assert unknown > known / 4
    assert no_password > known / 4


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
def test_every_token_that_is_not_ours_is_refused(lab_server, person):
    one = person()
    good = one.tokens["access_token"]
    claims = claims_of(good)
    header, payload, signature = good.split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    changed = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "1"}).encode()).rstrip(b"=").decode()
    nothing = hmac.digest(b"", f"{header}.{payload}".encode(), "sha256")
    rs256 = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"JWT"}').rstrip(b"=").decode()
    wrong = {
        "signed by nobody": f"{unsigned}.{payload}.",
        "signed by nobody, with a signature": f"{unsigned}.{payload}.{signature}",
        "another key": signed(lab_server, claims, b"k" * 32),
        "the empty key": f"{header}.{payload}.{base64.urlsafe_b64encode(nothing).rstrip(b'=').decode()}",
        "another payload": f"{header}.{changed}.{signature}",
        "another algorithm's name": f"{rs256}.{payload}.{signature}",
        "HS512 with our key": signed(lab_server, claims, algorithm="HS512"),
        "HS384 with our key": signed(lab_server, claims, algorithm="HS384"),
        "expired": signed(lab_server, {**claims, "exp": int(time.time()) - 1}),
        "from the future": signed(lab_server, {**claims, "iat": int(time.time()) + 3600}),
        "another lab": signed(lab_server, {**claims, "iss": "another"}),
        "another account's": signed(lab_server, {**claims, "sub": "1"}),
        "no session of ours": signed(lab_server, {**claims, "sid": "0" * 24}),
        "a refresh token": one.tokens["refresh_token"],
        "an unknown type": signed(lab_server, {**claims, "typ": "other"}),
        "truncated": good[:-4],
        "without a signature": f"{header}.{payload}",
        "without anything": "..",
        "huge": good + "A" * 9000,
        "huge and nothing": "A" * 9000,
        "a key that is none": "mlship_" + "A" * 43,
        "only a prefix": "mlship_",
        "a word": "null",
        **{
            f"without {name}": signed(lab_server, {key: claims[key] for key in claims if key != name})
            for name in ("exp", "iat", "sub", "sid", "typ", "iss")
        },
    }
    for kind, token in wrong.items():
        assert status(lab_server, token) == 401, kind
    # In the query there is room for what no header takes.
    with at(lab_server) as client:
        for token in ("ünïcödé", "\x00", "%FF", good + "é"):
            assert client.get("auth/me", params={"token": token}).status_code == 401, token
        assert client.get("auth/me?token=%FF").status_code == 401
        assert client.get("auth/me", params={"token": good}).status_code == 200
    assert status(lab_server, good) == 200


def test_a_wrong_token_is_not_made_good_by_a_cookie(lab_server):
    with at(lab_server) as browser:
        browser.get(f"{lab_server.url}api/status", params={"token": lab_server.token})
        assert browser.get("auth/me", headers={"Referer": lab_server.url}).status_code == 200
        wrong = {"Authorization": "Bearer wrong", "Referer": lab_server.url}
        assert browser.get("auth/me", headers=wrong).status_code == 401


def test_a_login_needs_no_xsrf_cookie_and_no_valid_token_beside_it(lab_server, person):
    one = person()
    with at(lab_server, "expired", somewhere()) as client:
        body = {"username": one.account["username"], "password": PASSWORD}
        assert client.post("auth/login", json=body).status_code == 200
    with at(lab_server, source=somewhere()) as browser:
        browser.get(f"{lab_server.url}api/status", params={"token": lab_server.token})
        assert browser.post("auth/login", json=body).status_code == 200
        # Another site could have sent this with the owner's cookie: it does not count as theirs.
        new = {"username": new_name(), "password": PASSWORD}
        assert browser.post("auth/register", json=new).status_code == 403


def test_a_refresh_token_is_good_for_one_time(lab_server, person):
    one = person()
    first = refresh(lab_server, one.tokens["refresh_token"])
    assert first.status_code == 200
    renewed = first.json()
    assert status(lab_server, renewed["access_token"]) == 200
    second = refresh(lab_server, renewed["refresh_token"])
    assert second.status_code == 200
    # The session does not last longer by being refreshed.
    ends = {claims_of(tokens["refresh_token"])["exp"] for tokens in (one.tokens, renewed, second.json())}
    assert len(ends) == 1
    assert refresh(lab_server, renewed["access_token"]).status_code == 401
    assert refresh(lab_server, "nonsense").status_code == 401


def test_a_stolen_refresh_token_ends_the_session_for_both(lab_server, person):
    one = person()
    thief = refresh(lab_server, one.tokens["refresh_token"]).json()
    reused = refresh(lab_server, one.tokens["refresh_token"])
    assert reused.status_code == 401
    assert "used before" in reused.json()["error"]["message"]
    for token in (one.tokens["access_token"], thief["access_token"]):
        assert status(lab_server, token) == 401
    assert refresh(lab_server, thief["refresh_token"]).status_code == 401
    # Another login of the account is another session.
    assert login(lab_server, one.account["username"], PASSWORD).status_code == 200
    topic = f"account:{one.account['id']}"
    events = lab_server.client.get("audit", params={"type": "session.revoked", "topic": topic}).json()[
        "items"
    ]
    assert [event["payload"]["reason"] for event in events] == ["reuse"]


def test_two_refreshes_at_once_do_not_both_succeed(lab_server, person):
    one = person()
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda _: refresh(lab_server, one.tokens["refresh_token"]).status_code, range(8))
        )
    assert answers.count(200) <= 1
    assert set(answers) <= {200, 401}
    assert status(lab_server, one.tokens["access_token"]) == 401


def test_logout_ends_this_session_and_no_other(lab_server, person):
    one = person()
    other = login(lab_server, one.account["username"], PASSWORD).json()
    assert one.client.post("auth/logout").status_code == 204
    assert one.client.get("auth/me").status_code == 401
    assert refresh(lab_server, one.tokens["refresh_token"]).status_code == 401
    assert status(lab_server, other["access_token"]) == 200
    assert lab_server.client.post("auth/logout").status_code == 422


def test_a_new_password_ends_all_sessions(lab_server, person):
    one = person()
    other = login(lab_server, one.account["username"], PASSWORD).json()
    wrong = one.client.post("auth/password", json={"old": "wrong password", "new": "another password"})
    assert wrong.status_code == 403
    change = {"old": PASSWORD, "new": "another password"}
    assert one.client.post("auth/password", json=change).status_code == 204
    for tokens in (one.tokens, other):
        assert status(lab_server, tokens["access_token"]) == 401
        assert refresh(lab_server, tokens["refresh_token"]).status_code == 401
    assert login(lab_server, one.account["username"], PASSWORD).status_code == 401
    assert login(lab_server, one.account["username"], "another password").status_code == 200


def test_an_administrator_ends_the_sessions_of_an_account(lab_server, person):
    one, other = person(), person()
    assert lab_server.client.delete(f"accounts/{one.account['username']}/sessions").status_code == 204
    assert one.client.get("auth/me").status_code == 401
    assert other.client.get("auth/me").status_code == 200
    assert other.client.delete(f"accounts/{one.account['id']}/sessions").status_code == 403


@pytest.mark.parametrize("crash", [True, False])
def test_what_was_ended_stays_ended_and_what_was_not_goes_on(tmp_path, start_server, person, crash):
    server = start_server(tmp_path)
    ada = {"server": server, "username": "ada"}
    stays, logged_out, stolen = (person(**{**ada, "username": name}) for name in ("ada", "bob", "eve"))
    logged_out.client.post("auth/logout")
    refresh(server, stolen.tokens["refresh_token"])
    refresh(server, stolen.tokens["refresh_token"])
    used = person(server, username="used")
    renewed = refresh(server, used.tokens["refresh_token"]).json()
    server.kill() if crash else server.stop()
    server = start_server(tmp_path)
    assert status(server, stays.tokens["access_token"]) == 200
    assert refresh(server, stays.tokens["refresh_token"]).status_code == 200
    for ended in (logged_out, stolen):
        assert status(server, ended.tokens["access_token"]) == 401
        assert refresh(server, ended.tokens["refresh_token"]).status_code == 401
    # That a refresh token was used is remembered, too.
    assert status(server, renewed["access_token"]) == 200
    assert refresh(server, used.tokens["refresh_token"]).status_code == 401
    assert status(server, renewed["access_token"]) == 401


def test_the_signing_key_is_private_and_random(lab_server):
    key = lab_server.data_dir / "signing_key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(key.read_text())) == 32


def test_a_password_hash_of_weaker_parameters_is_replaced_at_the_next_login(tmp_path, start_server, person):
    server = start_server(tmp_path)
    person(server, username="ada")
    server.stop()
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with duckdb.connect(str(tmp_path / "lab.duckdb")) as database:
        database.execute("UPDATE accounts SET password_hash = ? WHERE username = 'ada'", [weak])
    server = start_server(tmp_path)
    for _ in range(2):
        assert login(server, "ada", PASSWORD).status_code == 200
    server.stop()
    with duckdb.connect(str(tmp_path / "lab.duckdb")) as database:
        (kept,) = database.execute("SELECT password_hash FROM accounts WHERE username = 'ada'").fetchone()
    assert kept != weak
    assert not argon2.PasswordHasher().check_needs_rehash(kept)
