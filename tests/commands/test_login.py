"""Logging in from a shell to a lab elsewhere, and a login that renews itself, ends, or is stolen."""

import json
import stat
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import modelship_lab
from modelship_lab import client
from modelship_lab.records.errors import InvalidInput, Unauthenticated
from tests.commands.conftest import Shell
from tests.conftest import LabServer

PASSWORD = "correct horse battery"

AtHome = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def elsewhere(start_server: Callable[..., LabServer], tmp_path: Path) -> LabServer:
    """Another lab, with an account `ann`."""
    server = start_server(tmp_path / "elsewhere", "--no-rate-limits")
    made = server.client.post("accounts", json={"username": "ann", "password": PASSWORD})
    assert made.status_code == 201, made.text
    return server


@pytest.fixture
def at_home(mlship: Shell) -> AtHome:
    """The shell without a lab in its environment."""

    def run(*words: str, stdin: str = "") -> subprocess.CompletedProcess:
        return mlship(*words, stdin=stdin, MLSHIP_URL="", MLSHIP_TOKEN="")

    return run


def log_in(at_home: AtHome, lab: LabServer) -> None:
    result = at_home("login", lab.url, "--username", "ann", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert result.returncode == 0, result.stderr
    assert f"You are ann at {lab.url}." in result.stdout
    assert PASSWORD not in result.stdout + result.stderr


def kept(home: Path) -> dict:
    (login,) = json.loads((home / "logins.json").read_text())["logins"].values()
    return login


def change(home: Path, **fields: str) -> None:
    """Change the login that is kept, as time or another program would."""
    content = json.loads((home / "logins.json").read_text())
    for login in content["logins"].values():
        login.update(fields)
    (home / "logins.json").write_text(json.dumps(content))


def test_verbs_go_to_the_lab_where_one_is_logged_in_until_the_logout(
    at_home: AtHome, elsewhere: LabServer, tmp_path: Path
) -> None:
    log_in(at_home, elsewhere)
    me = at_home("whoami").stdout
    assert "Account ann" in me
    assert elsewhere.url in me
    file = tmp_path / "logins.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PASSWORD not in file.read_text()
    refused = at_home("users")
    assert refused.returncode == 2
    assert "'admin'" in refused.stderr
    token = kept(tmp_path)["access_token"]
    assert at_home("new", "mine", "--type", "text_classification", "--classes", "a,b").returncode == 0
    assert client.connect(elsewhere.url, data_dir=tmp_path).users.me().username == "ann"
    out = at_home("logout")
    assert "ann is logged out" in out.stdout, out.stderr
    assert token not in file.read_text()
    gone = httpx.get(f"{elsewhere.url}mlship/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert gone.status_code == 401
    assert at_home("logout").returncode == 2
    log = elsewhere.log_file.read_text()
    assert PASSWORD not in log
    assert token not in log


def test_a_wrong_password_is_one_line(at_home: AtHome, elsewhere: LabServer, tmp_path: Path) -> None:
    result = at_home("login", elsewhere.url, "--username", "ann", "--password-stdin", stdin="wrong\n")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "logins.json").exists()


@pytest.mark.parametrize(
    "fields",
    [{"access_token": "not-a-token"}, {"expires_at": "2001-01-01T00:00:00Z"}],
    ids=["refused", "ended"],
)
def test_an_access_token_that_has_ended_is_renewed(
    at_home: AtHome, elsewhere: LabServer, tmp_path: Path, fields: dict[str, str]
) -> None:
    log_in(at_home, elsewhere)
    before = kept(tmp_path)
    change(tmp_path, **fields)
    assert "Account ann" in at_home("whoami").stdout
    after = kept(tmp_path)
    assert after["refresh_token"] != before["refresh_token"]
    assert after["access_token"] not in ("", "not-a-token")
    assert stat.S_IMODE((tmp_path / "logins.json").stat().st_mode) == 0o600
    assert "Account ann" in at_home("whoami").stdout


def test_threads_and_processes_share_one_renewal(
    at_home: AtHome, elsewhere: LabServer, tmp_path: Path
) -> None:
    log_in(at_home, elsewhere)
    labs = [client.connect(elsewhere.url, data_dir=tmp_path) for _ in range(2)]

    def refuse() -> None:
        """Make the access token one that no longer counts, for the file and for both connections."""
        change(tmp_path, access_token="not-a-token")
        for lab in labs:
            credential = lab.connection._credential
            credential._login = credential._login.model_copy(update={"access_token": "not-a-token"})

    refuse()
    with labs[0].connection.stream("auth/me") as pieces:
        assert b"ann" in b"".join(pieces)
    refuse()
    together = threading.Barrier(8)

    def ask(number: int) -> str:
        together.wait()
        return labs[number % 2].users.me().username

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(8))) == {"ann"}
    change(tmp_path, access_token="not-a-token")
    with ThreadPoolExecutor(3) as shells:
        results = list(shells.map(lambda _: at_home("whoami"), range(3)))
    assert [result.returncode for result in results] == [0, 0, 0], [result.stderr for result in results]
    # A refresh token that was shown twice would have ended the login.
    assert labs[0].users.me().username == "ann"


def test_a_stolen_refresh_token_is_noticed(at_home: AtHome, elsewhere: LabServer, tmp_path: Path) -> None:
    log_in(at_home, elsewhere)
    stolen = kept(tmp_path)["refresh_token"]
    thief = httpx.post(f"{elsewhere.url}mlship/api/auth/refresh", json={"refresh_token": stolen})
    assert thief.status_code == 200
    change(tmp_path, access_token="not-a-token")
    told = at_home("whoami")
    assert told.returncode == 2
    assert f"log in again with `mlship login {elsewhere.url}`" in told.stderr
    assert told.stderr.count("\n") == 1
    assert stolen not in told.stderr
    token = thief.json()["access_token"]
    asked = httpx.get(f"{elsewhere.url}mlship/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert asked.status_code == 401
    # Nothing goes to one's own lab by mistake, until one says so.
    assert "log in again" in at_home("projects").stderr
    assert kept(tmp_path)["refresh_token"] == ""
    log_in(at_home, elsewhere)
    assert "Account ann" in at_home("whoami").stdout


def test_a_program_connects_by_password_or_key(elsewhere: LabServer, tmp_path: Path) -> None:
    lab = client.connect(elsewhere.url, username="ann", password=PASSWORD, data_dir=tmp_path)
    assert lab.users.me().username == "ann"
    assert not (tmp_path / "logins.json").exists()
    key = lab.keys.new("program", ["read"])
    assert key.key not in repr(key)
    assert modelship_lab.connect(elsewhere.url, api_key=key.key).users.me().username == "ann"
    lab.keys.revoke("program")
    with pytest.raises(Unauthenticated):
        modelship_lab.connect(elsewhere.url, api_key=key.key)
    with pytest.raises(Unauthenticated):
        client.connect(elsewhere.url, username="ann", password="wrong", data_dir=tmp_path)
    with pytest.raises(InvalidInput, match="neither"):
        client.connect(elsewhere.url, username="ann", data_dir=tmp_path)
    with pytest.raises(InvalidInput, match="one credential"):
        client.connect(elsewhere.url, "token", api_key="key", data_dir=tmp_path)


def test_a_token_of_the_environment_goes_to_its_own_lab_alone(
    elsewhere: LabServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLSHIP_TOKEN", elsewhere.token)
    monkeypatch.setenv("MLSHIP_URL", "http://127.0.0.1:9/")
    with pytest.raises(Unauthenticated):
        client.connect(elsewhere.url, data_dir=tmp_path)
    monkeypatch.setenv("MLSHIP_URL", elsewhere.url)
    assert client.connect(elsewhere.url, data_dir=tmp_path).users.me().username == "owner"


def test_a_login_is_in_no_repr(elsewhere: LabServer, tmp_path: Path) -> None:
    lab = client.connect(elsewhere.url, username="ann", password=PASSWORD, data_dir=tmp_path)
    credential = lab.connection._credential
    shown = " ".join(map(repr, (lab, lab.connection, credential, credential._login)))
    assert credential._login.access_token not in shown
    assert credential._login.refresh_token not in shown
    assert "ann" in shown
