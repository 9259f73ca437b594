"""The process of a job that goes on without the server which started it.

It speaks through its folder: `progress.json` says how far it is, `outcome.json` how it ended, `process.json` which
process it is. So a server that was started later finds out as much as the one that it took over from.
"""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
from pydantic import ValidationError

from modelship_lab.records.errors import LabError, Unavailable, error_from_code
from modelship_lab.records.jobs import JobProgress
from modelship_lab.records.processes import is_alive, process_of
from modelship_lab.records.tracking import RunProcess
from modelship_lab.server.child_processes import STANDARD_ERROR, environment, last_words
from modelship_lab.server.jobs.process import MODULE

PROCESS, PROGRESS, OUTCOME, TOKEN = "process.json", "progress.json", "outcome.json", "token"

OUT_OF_MEMORY = (
    "The job's process was killed by the system, most often because memory ran out: take a smaller batch_size or "
    "model, or a machine with more memory. It can be resumed from its last checkpoint."
)


@dataclass(frozen=True)
class Outcome:
    """How a process ended."""

    result: dict[str, Any]
    failure: LabError | None
    died: bool
    """Whether it ended without a word of its own."""


_PASSED_ON = re.compile(
    r"MLFLOW_TRACKING_\w+|HF_\w+|HUGGING_FACE_HUB_TOKEN|XDG_CACHE_HOME|((https?|all|no)_proxy|SSL_CERT_(FILE|DIR))",
    re.IGNORECASE,
)


def _services() -> dict[str, str]:
    """Where runs are mirrored to and backbones come from, with the way there and the credentials for it: both is done
    by the process which trains."""
    return {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}


class DetachedProcess:
    """A process and the folder that it works in.

    Args:
        process: which it is.
        child: the same, if this server started it.
    """

    def __init__(
        self, folder: Path, process: RunProcess, child: "subprocess.Popen[bytes] | None" = None
    ) -> None:
        self._folder = folder
        self._process = process
        self._child = child
        self._read_at = 0

    @classmethod
    def start(cls, kind: str, folder: Path) -> "DetachedProcess":
        """Start the process of a job whose folder is prepared.

        Raises:
            Unavailable: the system refuses.
        """
        with (folder / STANDARD_ERROR).open("wb") as log:
            try:
                child = subprocess.Popen(
                    [sys.executable, "-m", MODULE, kind, str(folder)],
                    env=environment() | _services(),
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    # An interrupt of the server is none of the job's.
                    start_new_session=True,
                )
            except OSError as error:
                raise Unavailable(f"No process could be started: {error.strerror}.") from error
        process = process_of(child.pid)
        (folder / PROCESS).write_bytes(process.model_dump_json().encode())
        return cls(folder, process, child)

    @classmethod
    def adopted(cls, folder: Path) -> "DetachedProcess | None":
        """The process that an earlier server started in a folder; None if it started none."""
        try:
            return cls(folder, RunProcess.model_validate_json((folder / PROCESS).read_bytes()))
        except (OSError, ValidationError):
            return None

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        """Whether it runs. Costs microseconds."""
        if self._child is not None:
            return self._child.poll() is None
        # On another machine nobody can know; the folder is on this one.
        return is_alive(self._process) is True

    def progress(self) -> JobProgress | None:
        """What it said of how far it is, if that is new."""
        file = self._folder / PROGRESS
        try:
            written_at = file.stat().st_mtime_ns
            if written_at == self._read_at:
                return None
            self._read_at = written_at
            return JobProgress.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            return None

    def outcome(self, secret: str = "") -> Outcome:
        """How it ended. Only once it is not alive any more.

        Args:
            secret: what must not be told.
        """
        try:
            said = orjson.loads((self._folder / OUTCOME).read_bytes())
            if "error" in said:
                failure = error_from_code(said["error"]["code"], said["error"]["message"][:2000])
                return Outcome({}, failure, died=False)
            return Outcome(said["result"], None, died=False)
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            return Outcome({}, LabError(self._cause_of_death(secret)), died=True)

    def _cause_of_death(self, secret: str) -> str:
        status = None if self._child is None else self._child.poll()
        if status == -signal.SIGKILL:
            return OUT_OF_MEMORY
        if status is not None and status < 0:
            return f"The job's process was ended by signal {-status}."
        said = last_words(self._folder / STANDARD_ERROR, secret)
        if status is None:
            return "The job's process died while the lab server was away" + (f": {said}" if said else ".")
        return f"The job's process ended with exit status {status}{': ' + said if said else '.'}"

    def memory_bytes(self) -> int:
        """What it and those that it has started hold in main memory."""
        try:
            process = psutil.Process(self._process.pid)
            found = [process, *process.children(recursive=True)]
            return sum(int(one.memory_info().rss) for one in found)
        except psutil.Error:
            return 0  # It ended in this moment.

    def terminate(self) -> None:
        """Ask it to end: a training saves a checkpoint first."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and what it has started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if not self.alive():
            return
        try:
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                os.kill(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # It ended in this moment.
