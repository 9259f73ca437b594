"""Token buckets: exact, refilled at intervals, bounded in memory, and set by clear settings."""

import os
import subprocess
import sys

import httpx
import pytest

from modelship_lab.records.errors import InvalidInput
from modelship_lab.server.identity import limits
from modelship_lab.server.identity.limits import (
    Limit,
    LimitReached,
    Limits,
    address_owner,
    configured_limits,
)

MINUTE, HOUR = Limit(3, 60), Limit(5, 3600)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def passes(buckets, owner=1, kind="default"):
    try:
        buckets.take("api", kind, owner)
    except LimitReached:
        return False
    return True


def test_a_window_starts_with_its_first_request_and_then_all_tokens_are_back(clock):
    buckets = Limits({"api": {"default": (MINUTE,)}}, clock)
    assert [passes(buckets) for _ in range(4)] == [True, True, True, False]
    clock.now += 59.9
    assert not passes(buckets)
    clock.now += 0.1
    assert [passes(buckets) for _ in range(4)] == [True, True, True, False]


def test_all_windows_hold_and_a_refused_request_takes_nothing(clock):
    buckets = Limits({"api": {"default": (MINUTE, HOUR)}}, clock)
    assert [passes(buckets) for _ in range(6)] == [True] * 3 + [False] * 3
    clock.now += 60
    # Five in the hour: the refused ones have not been counted.
    assert [passes(buckets) for _ in range(3)] == [True, True, False]
    with pytest.raises(LimitReached) as refused:
        buckets.take("api", "default", 1)
    assert refused.value.details == [{"limit": 5, "window": "1 hour", "retry_after": 3540}]


def test_owners_classes_and_apis_have_buckets_of_their_own(clock):
    classes = {"default": (Limit(1, 60),), "auth": (Limit(2, 60),)}
    buckets = Limits({"api": classes, "other": classes}, clock)
    assert [passes(buckets), passes(buckets)] == [True, False]
    assert passes(buckets, owner=2)
    assert passes(buckets, owner="1")
    assert [passes(buckets, kind="auth") for _ in range(3)] == [True, True, False]
    # A class without limits of its own counts with the rest.
    assert not passes(buckets, kind="predict")
    assert buckets.take("other", "default", 1).remaining == 0
    assert buckets.take("third", "default", 1) is None


def test_memory_is_bounded_and_what_is_over_goes_first(clock, monkeypatch):
    monkeypatch.setattr(limits, "MAX_BUCKETS", 1000)
    buckets = Limits({"api": {"default": (Limit(1, 60),)}}, clock)
    for owner in range(500):
        assert passes(buckets, f"old {owner}")
    clock.now += 60
    for owner in range(700):
        assert passes(buckets, f"new {owner}")
    assert len(buckets._buckets) <= 1000
    assert not any(passes(buckets, f"new {owner}") for owner in range(700))
    for owner in range(5000):
        assert passes(buckets, f"many {owner}")
    assert len(buckets._buckets) <= 1000


def test_addresses_of_one_host_are_one_owner():
    assert address_owner("10.1.2.3") == "10.1.2.3"
    assert address_owner("2001:db8:1:2:3::4") == address_owner("2001:db8:1:2:ffff::1")
    assert address_owner("2001:db8:1:3::1") != address_owner("2001:db8:1:2::1")
    assert address_owner("::ffff:10.1.2.3") != address_owner("::ffff:10.1.2.4")
    assert address_owner("/run/socket") == "/run/socket"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"api": {"default": ["many"]}}, "'many' is no limit"),
        ({"api": {"default": ["0/minute"]}}, "'0/minute' is no limit"),
        ({"api": {"default": "100/minute"}}, "must be a list"),
        ({"api": {"upload": ["1/minute"]}}, "there is no class 'upload'"),
        ({"apo": {"default": ["1/minute"]}}, "there is no API 'apo'"),
        ({"api": ["1/minute"]}, "must be a mapping"),
    ],
)
def test_wrong_settings_are_explained(settings, said):
    with pytest.raises(InvalidInput, match=r"ModelShipLab\.limits") as error:
        configured_limits({"api": {"auth": (MINUTE,)}}, {"api": ["auth"]}, settings)
    assert said in error.value.message


def test_settings_replace_what_an_api_declares():
    found = configured_limits(
        {"api": {"auth": (MINUTE,)}},
        {"api": ["auth", "predict"]},
        {"api": {"auth": [], "predict": ["7/second", "100/day"]}},
    )
    assert found == {"api": {"auth": (), "predict": (Limit(7, 1), Limit(100, 86400))}}


def test_a_server_with_wrong_limits_says_so_and_does_not_start(tmp_path):
    config = tmp_path / "jupyter_server_config.py"
    config.write_text("c.ModelShipLab.limits = {'api': {'auth': ['often']}}")
    done = subprocess.run(
        [sys.executable, "-m", "modelship_lab.server", "--port", "0", "--data-dir", str(tmp_path / "data")],
        env={**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "ModelShipLab.limits['api']['auth']: 'often' is no limit" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_native_api_limits_logins_by_address(start_server, tmp_path):
    server = start_server(tmp_path)
    wrong = {"username": "nobody", "password": "wrong"}
    answers = [httpx.post(f"{server.url}mlship/api/auth/login", json=wrong) for _ in range(31)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    # An account gives nobody more tries at a password.
    known = httpx.post(
        f"{server.url}mlship/api/auth/login", json=wrong, headers={"Authorization": f"Bearer {server.token}"}
    )
    assert known.status_code == 429
    # Nothing else has a limit.
    assert all(server.client.get("lab").status_code == 200 for _ in range(50))
