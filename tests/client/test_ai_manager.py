"""Programs that were written with AI Manager's Python client, with nothing but their import changed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from modelship_lab.client.ai_manager import AIManager
from modelship_lab.records.errors import InvalidInput, Unauthenticated, Unavailable
from tests.conftest import LabServer, run_server

PASSWORD = "secret-of-the-tests"


def address(server: LabServer) -> str:
    return f"{server.url}mlship/ai-manager"


def register(server: LabServer, username: str, password: str = PASSWORD) -> str:
    """A new account; returns its name."""
    new = {"username": username, "email": f"{username}@example.com", "password": password}
    httpx.post(f"{address(server)}/auth/register", json=new).raise_for_status()
    return username


@pytest.fixture(scope="module")
def server(tmp_path_factory, template):
    server = run_server(tmp_path_factory.mktemp("lab"), "--open-registration", template=template)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the programs of a test keep their spools."""
    monkeypatch.setenv("MLSHIP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_documented_example(server):
    register(server, "user", "pass")
    started = time.monotonic()

    # Initialize client
    manager = AIManager(
        project_name="my_project",
        api_url=address(server),
        username="user",
        password="pass",
    )

    # Start training run
    with manager.run(name="training_run") as run:
        for epoch in range(100):
            # Log metrics
            run.log({"loss": 0.5, "accuracy": 0.85}, step=epoch)

    # A hundred requests a minute are the API's limit: the run does not wait for the next minute.
    assert time.monotonic() - started < 30
    seen = server.client.get(f"runs/{run.id}").json()
    assert seen["status"] == "finished" and seen["name"] == "training_run"
    assert seen["project"] == "my_project" and seen["owner_id"] == manager.account.id
    series = {one.name: one for one in run.metrics().series}
    assert series["loss"].steps == tuple(range(100)) and set(series["accuracy"].values) == {0.85}
    manager.close()


def test_a_run_has_a_config_and_tags_and_is_listed(server):
    manager = AIManager("listed", address(server), register(server, "lister"), PASSWORD)
    run = manager.run(name="first", config={"layers": [1, 2], "path": Path("/x")}, tags=["demo", "test"])
    run.finish()
    (listed,) = manager.runs()
    assert listed.id == run.id and listed.status == "finished"
    assert listed.params == {"layers": [1, 2], "path": "/x"} and listed.tags == ("demo", "test")
    assert [project.name for project in manager.projects()] == ["listed"]
    assert manager.project.record.owner_id == manager.account.id
    # The next program of the same name uses the same project.
    again = AIManager("listed", address(server), "lister@example.com", PASSWORD)
    assert again.project.id == manager.project.id


def test_how_the_block_ends_is_how_the_run_ends(server):
    manager = AIManager("ends", address(server), register(server, "ender"), PASSWORD)
    broken = manager.run(name="broken")
    broken.log({"loss": 1.0})
    with pytest.raises(ZeroDivisionError), broken:
        1 / 0  # noqa: B018
    seen = server.client.get(f"runs/{broken.id}").json()
    assert seen["status"] == "failed" and seen["error"] == "ZeroDivisionError: division by zero"
    assert broken.metrics().series[0].values == (1.0,)
    with pytest.raises(KeyboardInterrupt), manager.run(name="interrupted") as interrupted:
        raise KeyboardInterrupt
    assert server.client.get(f"runs/{interrupted.id}").json()["status"] == "stopped"
    with pytest.raises(InvalidInput, match="not one number"), manager.run() as refused:
        refused.log({"loss": "0.5"})


def test_nothing_is_lost_when_the_server_is_killed_meanwhile(start_server, tmp_path):
    server = start_server(tmp_path / "lab", "--open-registration")
    manager = AIManager("killed", address(server), register(server, "kim"), PASSWORD)
    with manager.run(name="long") as run:
        for step in range(2000):
            run.log({"loss": step}, step=step)
            if step == 500:
                server.kill()
            if step == 1500:
                port = str(httpx.URL(server.url).port)
                start_server(tmp_path / "lab", "--open-registration", "--port", port)
            if step % 100 == 0:
                time.sleep(0.05)
    series = run.metrics(max_points=5000).series[0]
    assert series.steps == tuple(range(2000))
    assert run.refresh().status == "finished"


def test_a_token_that_has_ended_is_renewed(server):
    manager = AIManager("renewed", address(server), register(server, "rita"), PASSWORD)
    with manager.run(name="for days") as run:
        run.log({"loss": 1.0})
        assert run.flush()
        ended = server.client.delete(f"accounts/{manager.account.id}/sessions")
        assert ended.status_code == 204
        run.log({"loss": 2.0})
        assert run.flush()
        assert [project.name for project in manager.projects()] == ["renewed"]
    assert run.metrics().series[0].values == (1.0, 2.0)


def test_a_password_that_was_changed_is_not_tried_again_and_again(server):
    manager = AIManager("changed", address(server), register(server, "chris"), PASSWORD)
    change = server.client.patch(f"accounts/{manager.account.id}", json={"password": "quite-another-one"})
    change.raise_for_status()
    for _ in range(5):
        with pytest.raises(Unauthenticated, match="password is wrong"):
            manager.projects()
    audit = server.client.get("audit", params={"type": "login.failed", "account": manager.account.id}).json()
    assert audit["total"] == 1


def test_a_public_project_of_the_same_name_is_left_alone(server):
    owner = AIManager("shared", address(server), register(server, "olga"), PASSWORD)
    server.client.patch(f"projects/{owner.project.id}", json={"is_public": True}).raise_for_status()
    other = AIManager("shared", address(server), register(server, "otto"), PASSWORD)
    assert {project.record.owner_id for project in other.projects()} == {owner.account.id}
    with other.run() as run:
        run.log({"loss": 1.0})
    assert run.record.project_id == other.project.id != owner.project.id


def test_what_an_account_could_not_deliver_waits_for_that_account(start_server, tmp_path):
    server = start_server(tmp_path / "lab", "--open-registration")
    for username in ("anna", "berta"):
        register(server, username)
    program = f"""
import os, sys
from modelship_lab.client.ai_manager import AIManager
run = AIManager("waiting", {address(server)!r}, "anna", {PASSWORD!r}).run()
print(run.id, flush=True)
sys.stdin.readline()
run.log({{"loss": 7.0}}, step=3)
run.flush(1)
os._exit(9)
"""
    dying = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    )
    run_id = int(dying.stdout.readline())
    server.kill()
    dying.communicate("the server is away\n", timeout=30)
    port = str(httpx.URL(server.url).port)
    server = start_server(tmp_path / "lab", "--open-registration", "--port", port)

    berta = AIManager("waiting", address(server), "berta", PASSWORD)
    berta.lab.wait_for_replay()
    assert server.client.get(f"runs/{run_id}/metrics").json()["series"] == []
    anna = AIManager("waiting", address(server), "anna", PASSWORD)
    anna.lab.wait_for_replay()
    assert anna.lab.run(run_id).metrics().series[0].values == (7.0,)


def test_mistakes_are_told_clearly(server):
    username = register(server, "mona")
    with pytest.raises(Unauthenticated, match="username or the password is wrong"):
        AIManager("x", address(server), username, "not the password")
    for url in (server.url, "http://localhost:8000", "localhost/mlship/ai-manager", f"{address(server)}/v1"):
        with pytest.raises(InvalidInput, match="it is like http://127"):
            AIManager("x", url, username, PASSWORD)
    with pytest.raises(Unavailable, match="No lab server answers"):
        AIManager("x", "http://127.0.0.1:9/mlship/ai-manager", username, PASSWORD)
    with pytest.raises(InvalidInput, match="name"):
        AIManager("", address(server), username, PASSWORD)


def test_the_password_is_kept_out_of_what_is_shown(server):
    manager = AIManager("quiet", f"{address(server)}/", register(server, "quinn"), PASSWORD)
    shown = [repr(manager), repr(manager.lab), repr(manager.lab.connection), repr(manager.run())]
    assert not any(PASSWORD in text for text in shown)
    assert repr(manager) == f"AIManager('quiet', '{address(server)}', 'quinn')"
    with pytest.raises(Unauthenticated) as refused:
        AIManager("x", address(server), "quinn", "another-secret")
    assert "another-secret" not in str(refused.value)
