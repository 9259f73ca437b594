"""Who may come in, from a shell: keys, accounts, webhooks and the audit log, and no secret where it is kept."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.commands.conftest import Shell
from tests.conftest import LabServer

PASSWORD = "correct horse battery"


def done(mlship: Shell, *words: str, stdin: str = "", **environment: str) -> str:
    result = mlship(*words, stdin=stdin, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_new_key_is_printed_alone_works_and_ends(mlship: Shell, lab_server: LabServer) -> None:
    made = mlship("keys", "new", "ci", "--permissions", "read,label", "--expires", "30d")
    assert made.returncode == 0, made.stderr
    key = made.stdout.removesuffix("\n")
    assert key and not key.split()[1:]
    assert "told this once" in made.stderr
    assert "label, read" in made.stderr
    assert key not in made.stderr
    quiet = mlship("keys", "new", "ci2", "--quiet")
    assert quiet.stderr == ""
    assert "owner" in done(mlship, "whoami", MLSHIP_TOKEN=key)
    refused = mlship("new", "x", "--type", "text_classification", "--classes", "a,b", MLSHIP_TOKEN=key)
    assert "'write'" in refused.stderr
    listed = done(mlship, "keys")
    assert "valid" in listed
    assert key not in listed
    assert key[:8] in listed
    # A whole key that somebody pasted names it, and is not said again.
    ended = done(mlship, "keys", "revoke", key)
    assert "cannot be taken back; `mlship keys new ci --permissions label,read`" in ended
    assert key not in ended
    again = mlship("keys", "revoke", key)
    assert again.returncode == 2
    assert key not in again.stderr
    assert "revoked" in done(mlship, "keys", "list", "--all")
    assert mlship("whoami", MLSHIP_TOKEN=key).returncode == 2
    assert key not in lab_server.log_file.read_text()


def test_a_key_goes_to_a_file_of_its_user_alone(mlship: Shell, tmp_path: Path) -> None:
    file = tmp_path / "ci.key"
    made = mlship("keys", "new", "filed", "--file", str(file))
    assert made.returncode == 0, made.stderr
    assert made.stdout == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "owner" in done(mlship, "whoami", MLSHIP_TOKEN=file.read_text().strip())
    again = mlship("keys", "new", "never-made", "--file", str(file))
    assert again.returncode == 2
    assert "exists" in again.stderr
    assert "never-made" not in done(mlship, "keys")
    left = tmp_path / "left.key"
    assert mlship("keys", "new", "x" * 300, "--file", str(left)).returncode == 2
    assert not left.exists()


def test_accounts_are_made_changed_and_kept_out(mlship: Shell, lab_server: LabServer) -> None:
    made = done(
        mlship, "users", "new", "ann", "--email", "ann@example.org", "--password-stdin", stdin=f"{PASSWORD}\n"
    )
    assert "Account ann" in made
    assert "deploy_code" not in made
    assert "ann@example.org" in done(mlship, "users")
    login = {"username": "ann@example.org", "password": PASSWORD}
    answer = lab_server.client.post("auth/login", json=login)
    assert answer.status_code == 200
    token = answer.json()["access_token"]
    assert "Account ann" in done(mlship, "whoami", MLSHIP_TOKEN=token)
    said = done(mlship, "users", "permissions", "ann", "read,label")
    assert "ann may: label, read." in said
    assert "`mlship users permissions ann deploy," in said
    assert "can log in again" in done(mlship, "users", "logout", "ann")
    assert mlship("whoami", MLSHIP_TOKEN=token).returncode == 2
    assert "`mlship users activate ann` takes it back" in done(mlship, "users", "deactivate", "ann")
    assert lab_server.client.post("auth/login", json=login).status_code == 401
    assert "deactivated" in done(mlship, "users", "show", "ann")
    done(mlship, "users", "activate", "ann")
    generated = done(mlship, "users", "password", "ann", "--generate", "--quiet").strip()
    assert lab_server.client.post("auth/login", json=login).status_code == 401
    assert lab_server.client.post("auth/login", json={**login, "password": generated}).status_code == 200
    said = mlship("users", "show", "anm")
    assert "Did you mean 'ann'?" in said.stderr
    log = lab_server.log_file.read_text()
    assert PASSWORD not in log
    assert generated not in log


def test_a_password_is_asked_for_without_echo(lab_server: LabServer, tmp_path: Path) -> None:
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "modelship_lab.commands.main", "users", "new", "typed"],
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={
            **os.environ,
            "PYTHONPATH": ".",
            "MLSHIP_URL": lab_server.url,
            "MLSHIP_TOKEN": lab_server.token,
            "MLSHIP_HOME": str(tmp_path),
        },
    )
    assert process.stderr is not None
    said = b""
    for asked in (b"Password of typed: ", b"Repeat for confirmation: "):
        said = b""
        while not said.endswith(asked):
            piece = process.stderr.read(1)
            assert piece, said
            said += piece
        os.write(leader, f"{PASSWORD}\n".encode())
    out, rest = process.communicate(timeout=60)
    os.set_blocking(leader, False)
    try:
        echoed = os.read(leader, 1000)
    except BlockingIOError:
        echoed = b""
    os.close(leader)
    os.close(follower)
    assert process.returncode == 0, rest
    assert PASSWORD.encode() not in out + rest + echoed
    login = lab_server.client.post("auth/login", json={"username": "typed", "password": PASSWORD})
    assert login.status_code == 200


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[bytes]]]:
    """An address on this machine, and what was sent to it."""
    got: list[bytes] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got
    server.shutdown()
    server.server_close()


def test_a_webhook_is_made_tried_and_deleted(
    mlship: Shell, receiver: tuple[str, list[bytes]], lab_server: LabServer
) -> None:
    url, got = receiver
    made = mlship("webhooks", "new", url, "--events", "project.created,model.registered")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    number = made.stderr.split()[1]
    assert secret
    assert secret not in made.stderr
    assert url in done(mlship, "webhooks")
    assert "delivered" in done(mlship, "webhooks", "test", number)
    assert len(got) == 1
    sent = done(mlship, "webhooks", "deliveries", number)
    assert "delivered" in sent
    delivery = lab_server.client.get(f"webhooks/{number}/deliveries").json()["items"][0]["id"]
    assert "delivered" in done(mlship, "webhooks", "replay", number, str(delivery))
    assert len(got) == 2
    gone = done(mlship, "webhooks", "delete", number)
    assert f"`mlship webhooks new '{url}' --events 'project.created,model.registered'`" in gone
    assert mlship("webhooks", "show", number).returncode == 2
    assert secret not in lab_server.log_file.read_text()


def test_the_audit_log_says_who_did_what(mlship: Shell) -> None:
    key = done(mlship, "keys", "new", "audited", "--quiet").strip()
    done(mlship, "new", "audited", "--type", "text_classification", "--classes", "a,b", MLSHIP_TOKEN=key)
    shown = done(mlship, "audit", "-n", "3")
    made = next(line for line in shown.splitlines() if "project.created" in line)
    assert "key:" in made
    assert "owner" in made
    only = done(mlship, "audit", "--type", "key.created", "--user", "owner", "-n", "1")
    assert "key.created" in only
    assert "project.created" not in only
    assert key not in shown + only


def test_credits_are_shown_given_and_taken(mlship: Shell) -> None:
    done(mlship, "users", "new", "spender", "--no-password")
    assert "spender has 0 credits" in done(mlship, "credits", "spender")
    given = done(mlship, "credits", "grant", "spender", "100", "--reason", "for the first month")
    assert "spender has 100 credits" in given
    assert "for the first month" in given
    assert "spender has 70 credits" in done(
        mlship, "credits", "grant", "spender", "-30", "--reason", "too many"
    )
    shown = done(mlship, "credits", "show", "spender")
    assert "+100" in shown
    assert "-30" in shown
    assert "owner has" in done(mlship, "credits")
    assert "Did you mean 'spender'?" in mlship("credits", "spendr").stderr


def test_a_project_is_shared_and_kept(mlship: Shell, lab_server: LabServer) -> None:
    done(mlship, "new", "open", "--type", "text_classification", "--classes", "a,b", "--public")
    assert lab_server.client.get("projects/open").json()["is_public"]
    assert "`mlship share open --public` takes it back" in done(mlship, "share", "open", "--private")
    assert not lab_server.client.get("projects/open").json()["is_public"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["keys", "nwe", "x"], "Did you mean 'new'?"),
        (["keys", "new"], "NAME"),
        (["keys", "new", "x", "--permissions", "read,lable"], "Did you mean 'label'?"),
        (["keys", "new", "x", "--expires", "yesterday"], "30d, 12h, 2027-01-31 or never"),
        (["keys", "new", "x", "--expires", "2001-01-01"], "in the past"),
        (["keys", "new", "x", "--copy-to-env", "KEY"], "KEY=$(mlship"),
        (["keys", "revoke", "no-such-key"], "`mlship keys` lists them"),
        (["users", "new", "somebody"], "can only be asked in a terminal"),
        (["users", "new", "somebody", "--generate", "--no-password"], "Choose one"),
        (["users", "password"], "mlship users password owner"),
        (["users", "new", "two words", "--no-password"], "username"),
        (["webhooks", "new", "http://x.example/", "--events", "run.chnaged"], "Did you mean 'run.changed'?"),
        (["webhooks", "show", "abc"], "`mlship webhooks` lists them"),
        (["audit", "--type", "key.craeted"], "Did you mean 'key.created'?"),
        (["share", "x"], "--public or --private"),
        (["login", "lab.example.org"], "https://lab.example.org/"),
        (["login", "https://ann:secret@lab.example.org"], "without a password"),
        (["logout"], "`mlship login URL`"),
    ],
)
def test_a_mistake_is_one_helpful_line(mlship: Shell, words: list[str], said: str) -> None:
    result = mlship(*words)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_tab_key_completes_what_belongs_to_people(mlship: Shell) -> None:
    def completed(line: str) -> list[str]:
        out = mlship(
            _MLSHIP_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(line.count(" "))
        ).stdout
        return [entry.partition(",")[2] for entry in out.splitlines()]

    done(mlship, "keys", "new", "tabbed-key", "--quiet")
    done(mlship, "users", "new", "tabitha", "--no-password")
    assert completed("mlship key") == ["keys"]
    assert completed("mlship keys re") == ["revoke"]
    assert completed("mlship keys revoke tabbed") == ["tabbed-key"]
    done(mlship, "keys", "revoke", "tabbed-key")
    assert "tabbed-key" not in completed("mlship keys revoke tabbed")
    assert completed("mlship keys new x --permissions read,depl") == ["read,deploy", "read,deploy_code"]
    assert completed("mlship users permissions tabi") == ["tabitha"]
    assert completed("mlship webhooks new x --events deployment.re") == [
        "deployment.ready",
        "deployment.restarted",
    ]
    assert completed("mlship credits tabi") == ["tabitha"]
