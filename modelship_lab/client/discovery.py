"""Where the lab server of this user is, and starting one when there is none."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from filelock import FileLock, Timeout

from modelship_lab.records.errors import Unavailable

_START_TIMEOUT_S = 60.0
_HEALTH_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Address:
    """A lab server and the credential for it. The credential is kept out of the repr."""

    url: str
    """Ends in a slash and includes Jupyter's base URL."""
    token: str = field(repr=False)
    pid: int | None = None


def default_data_dir() -> Path:
    """The folder of this user's lab: `MLSHIP_HOME`, else below Jupyter's data directory."""
    home = os.environ.get("MLSHIP_HOME")
    if home:
        return Path(home).expanduser().resolve()
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()).resolve() / "modelship_lab"


def find(data_dir: Path, *, start: bool = True) -> Address:
    """The server to talk to: from the environment, else the running one, else a new one.

    Args:
        data_dir: the folder whose server is wanted.
        start: whether to start a server when none runs.

    Raises:
        Unavailable: no server runs and none was started.
    """
    url = os.environ.get("MLSHIP_URL")
    if url:
        return Address(with_slash(url), os.environ.get("MLSHIP_TOKEN", ""))
    address = running(data_dir)
    if address is not None:
        return address
    if not start:
        raise Unavailable("No lab server runs. Start one with `mlship serve`, or open JupyterLab.")
    return _start(data_dir)


def known_token(url: str, data_dir: Path) -> str:
    """The token for the server at `url`: that of this user's own, or the environment's; else none.

    A token that the environment has for another server is nobody's business here.
    """
    own = announcement(data_dir)
    if own is not None and own.url == url:
        return own.token
    if with_slash(os.environ.get("MLSHIP_URL") or url) != url:
        return ""
    return os.environ.get("MLSHIP_TOKEN", "")


def running(data_dir: Path) -> Address | None:
    """The server that has announced itself in `data_dir` and answers.

    Raises:
        Unavailable: its process lives but does not answer; a second one could not open the folder.
    """
    announced = announcement(data_dir)
    if announced is None or announced.pid is None or not psutil.pid_exists(announced.pid):
        return None
    if healthy(announced.url):
        return announced
    # Somebody else may have got the pid of a server that was killed.
    if not psutil.pid_exists(announced.pid) or not _is_ours(announced.pid):
        return None
    raise Unavailable(
        f"The lab server at {announced.url} (process {announced.pid}) does not answer. "
        "Wait a moment and try again, or stop that process."
    )


def announcement(data_dir: Path) -> Address | None:
    """What `server.json` in `data_dir` says, if it is there and complete."""
    try:
        content = json.loads((data_dir / "server.json").read_text(encoding="utf-8"))
        return Address(with_slash(str(content["url"])), str(content["token"]), int(content["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def healthy(url: str, timeout_s: float = _HEALTH_TIMEOUT_S) -> bool:
    """Whether a lab server answers at `url`."""
    try:
        answer = httpx.get(f"{url}mlship/api/health", timeout=timeout_s, trust_env=not is_local(url))
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


def is_local(url: str) -> bool:
    """Whether `url` is on this machine, where a proxy from the environment must not be used."""
    return httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")


def with_slash(url: str) -> str:
    """An address that paths can be added to."""
    return url if url.endswith("/") else url + "/"


def _is_ours(pid: int) -> bool:
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
    return "modelship_lab" in command or "jupyter" in command or "mlship" in command


def _start(data_dir: Path) -> Address:
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline = time.monotonic() + _START_TIMEOUT_S
    try:
        # Two notebooks that open at the same moment must not both start one.
        with FileLock(data_dir / "start.lock", timeout=_START_TIMEOUT_S):
            address = running(data_dir)
            if address is not None:
                return address
            return _spawn(data_dir, deadline)
    except Timeout:
        raise Unavailable(f"Another process takes too long to start the lab server of {data_dir}.") from None


def _spawn(data_dir: Path, deadline: float) -> Address:
    log = data_dir / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "modelship_lab.server", "--port", "0", "--data-dir", str(data_dir)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Its own session: interrupting the kernel must not stop the server.
            start_new_session=True,
        )
    while time.monotonic() < deadline:
        address = announcement(data_dir)
        if address is not None and address.pid == process.pid and healthy(address.url):
            return address
        if process.poll() is not None:
            other = running(data_dir)
            if other is not None:
                return other
            raise Unavailable(f"The lab server did not start: {_last_line(log)} (log: {log})")
        time.sleep(0.05)
    process.terminate()
    raise Unavailable(f"The lab server did not start within {_START_TIMEOUT_S:.0f} s (log: {log}).")


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
