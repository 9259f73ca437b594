"""Jupyter's own identity: one secret for everybody, or a JupyterHub that names its users."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from modelship_lab.server.identity.policy import ALL, REGISTERED

from .conftest import PASSWORD, at


@dataclass
class Jupyter:
    """A running Jupyter server that has the lab as its extension."""

    url: str


@contextmanager
def running(folder: Path, *options: str, **environment: str):
    """A Jupyter server on a data directory of its own."""
    here = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH"), os.getcwd()])]
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter_server", "--port=0", "--allow-root", "--no-browser", *options],
        env={
            **os.environ,
            "MLSHIP_HOME": str(folder / "lab"),
            "MLSHIP_TOKEN": "lab-token",
            "JUPYTER_TOKEN": "jupyter-token",
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "PYTHONPATH": os.pathsep.join(here),
            **environment,
        },
        cwd=folder,
        stdout=(folder / "jupyter.log").open("ab"),
        stderr=subprocess.STDOUT,
    )
    announced = folder / "lab" / "server.json"
    try:
        deadline = time.monotonic() + 60
        while not (announced.exists() and json.loads(announced.read_text())["pid"] == process.pid):
            assert process.poll() is None and time.monotonic() < deadline, (
                folder / "jupyter.log"
            ).read_text()[-3000:]
            time.sleep(0.1)
        yield Jupyter(json.loads(announced.read_text())["url"])
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    with running(folder, "--ServerApp.identity_provider_class=hub.Hub", JUPYTERHUB_USER="ada") as server:
        yield server


def as_user(server, name: str, kind: str = "user") -> httpx.Client:
    """A browser of a user of the hub: with a cookie, and what proves that no other site sends the request."""
    client = at(server)
    client.cookies.set("hub-user", f"{kind}:{quote(name)}")
    client.headers["Referer"] = server.url
    client.cookies.set("_xsrf", "x")
    return client


def test_who_has_jupyters_token_is_the_owner(tmp_path):
    with running(tmp_path) as server:
        for token in ("jupyter-token", "lab-token"):
            with at(server, token) as client:
                assert client.get("auth/me").json()["id"] == 1
                assert client.get("accounts").json()["total"] == 1
        with at(server) as browser:
            browser.get(f"{server.url}api/status", params={"token": "jupyter-token"})
            assert browser.get("auth/me", headers={"Referer": server.url}).json()["id"] == 1
        with at(server, "jupyter-token") as client:
            made = client.post(
                "projects", json={"name": "p", "task": "text_classification", "classes": ["a", "b"]}
            )
            assert made.status_code == 201
            entry = client.get("audit").json()["items"][0]
            assert (entry["type"], entry["credential"], entry["author"]) == (
                "project.created",
                "jupyter",
                "owner",
            )


def test_a_jupyter_server_without_authentication_takes_no_wrong_token(tmp_path):
    with running(tmp_path, "--IdentityProvider.token=", JUPYTER_TOKEN="") as server, at(server) as client:
        assert client.get("auth/me", headers={"Referer": server.url}).json()["id"] == 1
        assert client.get("auth/me", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_the_hub_user_whose_server_it_is_owns_the_lab(hub):
    with as_user(hub, "ada") as ada:
        me = ada.get("auth/me").json()
        assert (me["id"], set(me["permissions"])) == (1, ALL)
    with at(hub, "hub-token-of-ada") as ada:
        assert ada.get("auth/me").json()["id"] == 1


def test_another_hub_user_gets_an_account_of_their_own(hub):
    with as_user(hub, "bob") as bob:
        me = bob.get("auth/me").json()
        assert me["username"] == "bob"
        assert set(me["permissions"]) == REGISTERED
        assert bob.get("accounts").status_code == 403
        assert bob.get("auth/me").json() == me
    with at(hub, "hub-token-of-bob") as bob:
        assert bob.get("auth/me").json() == me
        key = bob.post("auth/keys", json={"name": "k"}).json()
    with at(hub, key["key"]) as bob, at(hub, "lab-token") as owner:
        assert bob.get("auth/me").json() == me
        # Deactivated, they are out in every way.
        owner.patch(f"accounts/{me['id']}", json={"is_active": False})
        assert bob.get("auth/me").status_code == 401
        with as_user(hub, "bob") as browser:
            assert browser.get("auth/me").status_code == 403
        with at(hub, "hub-token-of-bob") as program:
            assert program.get("auth/me").status_code in (401, 403)


def test_nobody_becomes_a_hub_user_by_taking_their_name(hub):
    with at(hub, "lab-token") as owner:
        local = owner.post("accounts", json={"username": "carol", "password": PASSWORD}).json()
    with as_user(hub, "carol") as carol:
        me = carol.get("auth/me").json()
        assert (me["username"], me["id"] != local["id"]) == ("carol-2", True)
    for name, expected in (("owner", "owner-2"), ("42", "user-42"), ("a b", "a-b")):
        with at(hub, f"hub-token-of-{name}") as somebody:
            me = somebody.get("auth/me").json()
            assert me["username"] == expected and "admin" not in me["permissions"]


def test_a_service_of_the_hub_is_not_the_user_of_its_name(hub):
    with as_user(hub, "ada", kind="service") as service:
        assert service.get("auth/me").json()["id"] != 1


def test_two_first_requests_at_once_make_one_account(hub):
    def first(_) -> int:
        with at(hub, "hub-token-of-dave") as dave:
            return dave.get("auth/me").json()["id"]

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(first, range(8)))) == 1


def test_a_hub_users_request_needs_the_xsrf_header(hub):
    with as_user(hub, "erin") as erin:
        refused = erin.post("auth/keys", json={"name": "k"})
        assert refused.status_code == 403
    with at(hub, "hub-token-of-erin") as erin:
        assert erin.post("auth/keys", json={"name": "k"}).status_code == 201


def test_our_credentials_do_not_need_the_hub(hub):
    with at(hub, "lab-token") as owner:
        owner.post("accounts", json={"username": "frank", "password": PASSWORD})
        answer = at(hub).post("auth/login", json={"username": "frank", "password": PASSWORD})
        assert answer.status_code == 200
    with at(hub, answer.json()["access_token"]) as frank:
        assert frank.get("auth/me").json()["username"] == "frank"
        assert frank.post("auth/logout").status_code == 204
        assert frank.get("auth/me").status_code == 401
