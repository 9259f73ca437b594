"""`mlship serve` is the server's own program under another name."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from modelship_lab.client import discovery

SECRET = "a-token-that-nobody-may-see"


def test_the_options_are_those_of_the_server_and_the_token_stays_off_its_command_line(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    words = ["serve", "--port", "0", "--data-dir", str(tmp_path), "--token", SECRET, "--base-url", "/deep/"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "modelship_lab.commands.main", *words],
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": "."},
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 30
            while (found := discovery.announcement(tmp_path)) is None and time.monotonic() < deadline:
                time.sleep(0.1)
            assert found is not None, log.read_text()
            assert found.pid == process.pid
            assert found.url.endswith("/deep/")
            asked = httpx.get(f"{found.url}mlship/api/lab", headers={"Authorization": f"Bearer {SECRET}"})
            assert asked.status_code == 200
            assert SECRET not in " ".join(psutil.Process(process.pid).cmdline())
        finally:
            process.terminate()
    assert SECRET not in log.read_text()


def mlship(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """As a process of its own, which becomes the server's."""
    command = [sys.executable, "-m", "modelship_lab.commands.main", *words]
    told = {**os.environ, "PYTHONPATH": ".", **environment}
    return subprocess.run(command, env=told, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(("words", "said"), [(["--prot", "1"], "--port"), (["extra"], "extra")])
def test_a_mistake_is_told_by_the_server(words: list[str], said: str) -> None:
    result = mlship("serve", *words)
    assert result.returncode == 2
    assert said in result.stderr


def test_its_options_are_listed_and_completed() -> None:
    assert "--open-registration" in mlship("serve", "--help").stdout
    out = mlship(_MLSHIP_COMPLETE="bash_complete", COMP_WORDS="mlship serve --op", COMP_CWORD="2").stdout
    assert "--open-registration" in out
