"""What a run was made by is saved with it, without secrets and without holding it up."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelship_lab import client
from modelship_lab.client.command_line import without_secrets
from modelship_lab.client.source import MAX_BYTES, Source, changes, shown_cell

SCRIPT = """
import os, sys
password = "abc"
from pathlib import Path
from modelship_lab import client
with client.connect(sys.argv[1], os.environ["LAB"], data_dir=Path(sys.argv[2])).start_run("script", source=True) as run:
    print(run.id)
"""

NOTEBOOK = """
import os, sys
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
from modelship_lab import client
shell = InteractiveShell.instance()
shell.run_cell("lab = 3", store_history=True)
shell.run_cell("%set_env API_TOKEN=abc", store_history=True)
lab = client.connect(sys.argv[1], os.environ["LAB"], data_dir=Path(sys.argv[2]))
run = lab.start_run("cells", source=True)
shell.run_cell("print(lab)", store_history=True)
run.finish()
print(run.id)
"""


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def execute(file: Path, lab: client.Lab, tmp_path: Path, *words: str, cwd: Path | None = None) -> int:
    done = subprocess.run(
        [sys.executable, str(file), lab.url, str(tmp_path / "home"), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=cwd,
        env={
            "PATH": "/usr/bin:/bin",
            "LAB": "test-token-of-this-run",
            "PYTHONPATH": str(Path.cwd()),
            "HOME": "/",
        },
    )
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("train --api-key abc --lr 0.1", "train --api-key *** --lr 0.1"),
        ("train --password=abc", "train --password=***"),
        ("HF_TOKEN=abc train", "HF_TOKEN=*** train"),
        ("train --token --verbose", "train --token --verbose"),
        ("get https://me:abc@example.org/x", "get https://***@example.org/x"),
        (
            "get https://example.org/?q=1&access_token=abc&n=2",
            "get https://example.org/?q=1&access_token=***&n=2",
        ),
        ("train --monkey abc --keyboard us", "train --monkey abc --keyboard us"),
    ],
)
def test_secrets_are_not_in_a_command_line(given: str, expected: str) -> None:
    assert " ".join(without_secrets(given.split(" "))) == expected


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (
            """!curl -H "Authorization: Bearer abc" https://x""",
            """!curl -H "Authorization: ***" https://x""",
        ),
        ("said = !curl -H 'X-Api-Key: abc d' x", "said = !curl -H 'X-Api-Key: ***' x"),
        ("!curl  -u me:abc x", "!curl  -u me:*** x"),
        ("%env HF_TOKEN abc d", "%env HF_TOKEN ***"),
        ("%env CUDA_VISIBLE_DEVICES 0", "%env CUDA_VISIBLE_DEVICES 0"),
        ("""%mlship login --password "a b c" me""", "%mlship login --password *** me"),
        ("%%bash\nexport TOKEN=abc\n  echo 'it'", "%%bash\nexport TOKEN=***\n  echo 'it'"),
        ("x = 5 % 3; key = 'a  b'", "x = 5 % 3; key = 'a  b'"),
        ("db_password: str = 'a b'", "db_password: str = '***'"),
        ('secret = """a"b"""', 'secret = """***"""'),
        ('os.environ["HF_TOKEN"] = "x1y2z3x1y2z3x1y2"', 'os.environ["HF_TOKEN"] = "***"'),
        (
            """login({'api_key': 'x1y2z3x1y2z3x1y2'}, pwd="it's")""",
            """login({'api_key': '***'}, pwd="***")""",
        ),
        ('setenv("API_TOKEN", "x1y2z3x1y2z3x1y2")', 'setenv("API_TOKEN", "***")'),
        ("use('hf_" + "aB3" * 11 + "')", "use('***')"),
        ("client('mlship_" + "a-B_3" * 8 + "')", "client('***')"),
        (
            'fit(tokenizer, pad_token="<pad>", key="val_loss")',
            'fit(tokenizer, pad_token="<pad>", key="val_loss")',
        ),
        ("monkey = 'x1y2z3x1y2z3x1y2'", "monkey = 'x1y2z3x1y2z3x1y2'"),
        ('!grep -r \'"key": 5', '!grep -r \'"key": 5'),
    ],
)
def test_secrets_are_not_in_the_code_and_the_commands_of_a_cell(cell: str, shown: str) -> None:
    assert shown_cell(cell) == shown


def test_changes_are_a_patch_that_git_takes_and_untracked_files_are_named(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "train.py").write_text("rate = 1\n")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-m", "first")
    assert changes(tmp_path) == b""
    (tmp_path / "train.py").write_text("rate = 2\n")
    (tmp_path / "secret.env").write_text("TOKEN=abc")
    patch = changes(tmp_path)
    assert b"# untracked: secret.env" in patch
    assert b"abc" not in patch
    git(tmp_path, "checkout", "train.py")
    (tmp_path / "x.patch").write_bytes(patch)
    git(tmp_path, "apply", "x.patch")
    assert (tmp_path / "train.py").read_text() == "rate = 2\n"
    (tmp_path / "train.py").write_text("x\n" * MAX_BYTES)
    assert len(changes(tmp_path)) < MAX_BYTES + 100
    assert changes(tmp_path / "nowhere") == b""


def test_nothing_that_a_repository_names_is_executed(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "train.py").write_text("rate = 1\n")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-m", "first")
    (tmp_path / "hook.sh").write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    (tmp_path / "hook.sh").chmod(0o700)
    for setting in ("core.fsmonitor", "diff.external"):
        git(tmp_path, "config", setting, str(tmp_path / "hook.sh"))
    (tmp_path / "train.py").write_text("rate = 2\n")
    assert b"+rate = 2" in changes(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_script_is_saved_with_its_run(lab: client.Lab, tmp_path: Path) -> None:
    file = tmp_path / "train.py"
    file.write_text(SCRIPT)
    run = lab.run(execute(file, lab, tmp_path, "--api-key", "abc", cwd=tmp_path))
    assert run.text("source/train.py") == SCRIPT.replace('"abc"', '"***"')
    environment = run.record.environment
    assert environment["script"] == str(file)
    assert environment["command"][-2:] == ["--api-key", "***"]
    assert environment["packages"]["polars"]


def test_the_cells_of_a_notebook_are_saved_in_order_up_to_the_end(lab: client.Lab, tmp_path: Path) -> None:
    file = tmp_path / "notebook.py"
    file.write_text(NOTEBOOK)
    run = lab.run(execute(file, lab, tmp_path, cwd=tmp_path))
    cells = run.text("source/cells.py")
    assert cells == "# %% [1]\nlab = 3\n\n# %% [2]\n%set_env API_TOKEN=***\n\n# %% [3]\nprint(lab)\n"


def test_a_source_that_cannot_be_saved_is_no_error_of_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def save(name: str, content: bytes, content_type: str) -> None:
        raise RuntimeError("no room")

    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "first")
    (tmp_path / "train.py").write_text("x = 1\n")
    git(tmp_path, "add", "train.py")
    source = Source(save, tmp_path)
    source.start()
    source.stop()
    assert "no room" in caplog.text
