"""Lab servers as forks of a process that has imported all that a server imports: that takes most of a start.

`python -m tests.forked_servers` is that process. It reads one order a line, and answers with the number of the
process in which the server runs, as if it had been started by its own command.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import psutil

from modelship_lab.server.__main__ import main


class ForkedServer(psutil.Process):
    """Its methods are those of `subprocess.Popen`, as far as tests need them; nobody hears its exit status."""

    def poll(self) -> int | None:
        """None while it runs."""
        return None if self.is_running() else 0


class Template:
    """The process of which servers are forks; it ends with the tests."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def fork(self, words: list[str], environment: dict[str, str], log: Path) -> ForkedServer:
        """A new server.

        Args:
            words: of its command line.
            log: gets what it prints.
        """
        assert self._process.stdin and self._process.stdout
        order = {"words": words, "environment": environment, "folder": os.getcwd(), "log": str(log)}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return ForkedServer(int(self._process.stdout.readline()))

    def close(self) -> None:
        """Fork no more."""
        self._process.communicate()


def _serve(words: list[str], environment: dict[str, str], folder: str, log: str) -> NoReturn:
    """Be a server, as its command is one."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with open(log, "ab") as file, open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["mlship serve", *words]
    main(words, prog_name="mlship serve")
    raise AssertionError("a command ends its process")


if __name__ == "__main__":
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # as the command does
    import modelship_lab.server.extension  # noqa: F401

    # Whoever waits for a server asks for its process; none stays behind as a zombie.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            _serve(**json.loads(line))
        print(pid, flush=True)
