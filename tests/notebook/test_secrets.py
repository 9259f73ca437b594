"""What a notebook learns once is not saved with it."""

import json
import os
import stat
from pathlib import Path

import nbformat
import pytest
from IPython.core.error import StdinNotImplementedError, UsageError
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient

from modelship_lab import client
from tests.conftest import LabServer

PASSWORD = "correct horse battery"


def run(shell: InteractiveShell, line: str):
    return shell.run_line_magic("mlship", line)


def shown(shell: InteractiveShell, value: object) -> str:
    data, _ = shell.display_formatter.format(value)
    return str(data) + repr(value) + str(value)


def test_no_secret_is_saved_in_the_notebook_and_all_of_them_work(at_lab: LabServer, tmp_path: Path) -> None:
    """In a real kernel, from its front end's point of view."""
    cells = [
        "%load_ext modelship_lab",
        "key = %mlship keys new assigned --permissions read",
        "key",
        "%mlship keys new displayed",
        "displayed = _.key",
        "%mlship keys new in-environment --copy-to-env MADE_KEY",
        "%mlship users new notebooked --generate",
        "password = _.password",
        "%mlship webhooks new https://example.org/hook --events run.changed",
        "secret = _.secret",
        "%mlship users new nobody-there",
        "import json, os, pathlib",
        f"told = [key.key, displayed, os.environ['MADE_KEY'], password, secret]\n"
        f"_ = pathlib.Path({str(tmp_path / 'told.json')!r}).write_text(json.dumps(told))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": "."}}
    ).execute()
    saved = nbformat.writes(notebook)
    told = json.loads((tmp_path / "told.json").read_text())
    assert len(set(told)) == 5
    for secret in told:
        assert len(secret) > 15
        assert secret not in saved
    assert "told this once" in saved
    assert "_.key" in saved
    assert "nobody is at this notebook" in saved
    for key in told[:3]:
        with_key = client.connect(at_lab.url, api_key=key, data_dir=tmp_path / "other")
        assert with_key.users.me().username == "owner"
    login = at_lab.client.post("auth/login", json={"username": "notebooked", "password": told[3]})
    assert login.status_code == 200
    log = at_lab.log_file.read_text()
    assert not any(secret in log for secret in told)


def test_a_key_is_its_value_s_attribute_and_in_no_display(shell: InteractiveShell, tmp_path: Path) -> None:
    made = run(shell, "keys new shy --expires 4w")
    assert made.key.startswith(made.prefix)
    assert made.name == "shy"
    assert made.key not in shown(shell, made)
    with pytest.raises(AttributeError):
        _ = made.password
    filed = run(shell, f"keys new filed-here --file {tmp_path / 'key'}")
    assert (tmp_path / "key").read_text() == f"{filed.key}\n"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="no name of a variable"):
        run(shell, "keys new never --copy-to-env not-a-name")


def test_a_password_is_asked_for_twice(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([PASSWORD, "something else", PASSWORD, PASSWORD])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    with pytest.raises(UsageError, match="not the same"):
        run(shell, "users new asked")
    account = run(shell, "users new asked --admin")
    assert PASSWORD not in shown(shell, account)
    assert "admin" in account.permissions

    def nobody(prompt: str) -> str:
        raise StdinNotImplementedError("no input")

    monkeypatch.setattr("getpass.getpass", nobody)
    with pytest.raises(UsageError, match="nobody is at this notebook"):
        run(shell, "users password asked")


def test_a_notebook_logs_in_to_another_lab_and_back(
    shell: InteractiveShell, at_lab: LabServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_lab.client.post("accounts", json={"username": "visitor", "password": PASSWORD}).raise_for_status()
    monkeypatch.setattr("getpass.getpass", lambda prompt: PASSWORD)
    assert "You are visitor" in repr(run(shell, f"login {at_lab.url} --username visitor"))
    assert run(shell, "whoami").username == "visitor"
    assert "visitor is logged out" in repr(run(shell, "logout"))
    assert run(shell, "whoami").username == "owner"
    assert PASSWORD not in (Path(os.environ["MLSHIP_HOME"]) / "logins.json").read_text()


def test_lists_and_things_read_well_in_light_and_dark(shell: InteractiveShell) -> None:
    run(shell, "keys new listed")
    for line, said in (
        ("keys", "listed"),
        ("users", "owner"),
        ("whoami", "owner"),
        ("audit --type key.created", "key.created"),
        ("webhooks", "id"),
    ):
        value = run(shell, line)
        data, _ = shell.display_formatter.format(value)
        assert said in data["text/html"] or "nothing yet" in data["text/html"]
        # Colors are those of the notebook's theme.
        assert "color:#" not in data["text/html"].replace("background:none", "")
        assert "Record" not in data["text/plain"]
