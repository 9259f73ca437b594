"""Guessing passwords: slowed down for who guesses, and for nobody else."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .conftest import PASSWORD, at, login, new_name, somewhere


def fail(server, username: str, source: str, times: int) -> list[int]:
    return [login(server, username, "wrong password", source).status_code for _ in range(times)]


def test_after_five_failures_the_next_try_waits_longer_and_longer(lab_server, person):
    username, here = person().account["username"], somewhere()
    assert fail(lab_server, username, here, 5) == [401] * 5
    waits = []
    for _ in range(2):
        # The right password does not help either: it is not looked at.
        refused = login(lab_server, username, PASSWORD, here)
        assert refused.status_code == 429
        error = refused.json()["error"]
        assert error["code"] == "RATE_LIMIT_EXCEEDED"
        waits.append(error["details"][0]["retry_after"])
        assert int(refused.headers["Retry-After"]) >= waits[-1]
        time.sleep(waits[-1])
        assert fail(lab_server, username, here, 1) == [401]
    assert waits == [1, 2]


def test_who_must_wait_is_told_so_without_a_hash(lab_server, person):
    username, here = person().account["username"], somewhere()
    fail(lab_server, username, here, 5)
    started = time.perf_counter()
    assert login(lab_server, username, PASSWORD, here).status_code == 429
    refused = time.perf_counter() - started
    started = time.perf_counter()
    # For the account alone it is over sooner than for the account from there.
    assert login(lab_server, new_name(), PASSWORD).status_code == 401
    assert refused < time.perf_counter() - started


def test_the_owner_of_an_account_is_not_locked_out_from_elsewhere(lab_server, person):
    username = person().account["username"]
    attacker = somewhere()
    statuses = fail(lab_server, username, attacker, 5)
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        answer = login(lab_server, username, PASSWORD)
        if answer.status_code == 200:
            break
        # At most half a minute, however many failures there were.
        wait = answer.json()["error"]["details"][0]["retry_after"]
        assert wait <= 30
        time.sleep(wait)
    assert answer.status_code == 200
    assert statuses == [401] * 5


def test_a_success_forgets_the_failures_at_this_account_from_here(lab_server, person):
    username, here = person().account["username"], somewhere()
    for _ in range(3):
        assert fail(lab_server, username, here, 4) == [401] * 4
        assert login(lab_server, username, PASSWORD, here).status_code == 200


def test_counting_does_not_tell_which_accounts_there_are(lab_server, person):
    for username in (person().account["username"], new_name()):
        here = somewhere()
        wide = "".join(chr(ord(one) + 0xFEE0) if one.isalpha() else one for one in username)
        assert fail(lab_server, wide, here, 5) == [401] * 5
        assert fail(lab_server, username.upper(), here, 1) == [429]


def test_one_address_cannot_try_many_accounts(lab_server):
    here = somewhere()
    statuses = [login(lab_server, new_name(), PASSWORD, here).status_code for _ in range(22)]
    assert statuses[:20] == [401] * 20
    assert 429 in statuses[20:]
    assert login(lab_server, new_name(), PASSWORD).status_code == 401


def test_many_tries_at_once_are_not_more_than_some(lab_server, person):
    username, here = person().account["username"], somewhere()
    with ThreadPoolExecutor(16) as threads:
        statuses = list(
            threads.map(lambda _: login(lab_server, username, "wrong password", here).status_code, range(16))
        )
    # One on each of two threads can be under way when the fifth fails.
    assert 5 <= statuses.count(401) <= 6
    assert statuses.count(429) == 16 - statuses.count(401)


def test_one_address_does_not_keep_all_others_from_logging_in(start_server, tmp_path, person):
    server = start_server(tmp_path, "--open-registration", "--no-rate-limits")
    one, crowd = person(server), somewhere()

    def register(_):
        with at(server, source=crowd) as client:
            new = {"username": new_name(), "password": PASSWORD}
            return client.post("auth/register", json=new).status_code

    with ThreadPoolExecutor(120) as threads:
        crowding = [threads.submit(register, None) for _ in range(120)]
        statuses = []
        while not all(done.done() for done in crowding):
            statuses.append(login(server, one.account["username"], PASSWORD).status_code)
    assert statuses == [200] * len(statuses)
    assert {done.result() for done in crowding} == {201, 429}


def test_right_passwords_at_once_all_log_in(lab_server, person):
    username, here = person().account["username"], somewhere()
    with ThreadPoolExecutor(12) as threads:
        statuses = list(
            threads.map(lambda _: login(lab_server, username, PASSWORD, here).status_code, range(12))
        )
    assert statuses == [200] * 12


def test_the_old_password_is_not_guessed_with_a_stolen_token(lab_server, person):
    one = person()
    change = {"old": "wrong password", "new": "another password"}
    statuses = [one.client.post("auth/password", json=change).status_code for _ in range(6)]
    assert statuses == [403] * 5 + [429]


@pytest.mark.parametrize("trusted", [False, True])
def test_what_a_client_says_of_its_address_counts_where_proxies_are_trusted(
    tmp_path, start_server, person, monkeypatch, trusted
):
    (tmp_path / "jupyter_server_config.py").write_text(f"c.ServerApp.trust_xheaders = {trusted}\n")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    server = start_server(tmp_path)
    username, here = person(server).account["username"], "127.0.0.9"
    statuses = [
        login(server, username, "wrong password", here, **{"X-Forwarded-For": f"10.0.0.{number}"}).status_code
        for number in range(2)
    ]
    assert statuses == [401] * 2
    entries = server.client.get("audit", params={"type": "login.failed"}).json()["items"]
    expected = ["10.0.0.1", "10.0.0.0"] if trusted else [here, here]
    assert [entry["address"] for entry in entries] == expected
