"""Programs as forks of a process that has imported what they import: that takes most of a start.

`python -m tests.forks server` and `python -m tests.forks mlship` are such processes. They read one order a line; a
fork then goes on as if it had been started by its own command.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import psutil


class ForkedServer(psutil.Process):
    """Its methods are those of `subprocess.Popen`, as far as tests need them; nobody hears its exit status."""

    def poll(self) -> int | None:
        """None while it runs."""
        return None if self.is_running() else 0


class Template:
    """The process of which others are forks; it ends with the tests."""

    def __init__(self, program: Literal["server", "mlship"]) -> None:
        words = [sys.executable, "-m", __name__, program]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Fork no more."""
        self._process.communicate()

    def fork(self, words: list[str], environment: dict[str, str], log: Path) -> ForkedServer:
        """A new server.

        Args:
            words: of its command line.
            log: gets what it prints.
        """
        return ForkedServer(self._order(words, environment, os.devnull, str(log), str(log)))

    def run(
        self, words: list[str], environment: dict[str, str], stdin: str
    ) -> subprocess.CompletedProcess[str]:
        """What a command has said when it has ended."""
        with tempfile.TemporaryDirectory() as folder:
            streams = [Path(folder) / name for name in ("in", "out", "err", "status")]
            streams[0].write_text(stdin)
            psutil.Process(self._order(words, environment, *map(str, streams))).wait(120)
            out, err, status = (stream.read_text() for stream in streams[1:])
        return subprocess.CompletedProcess(words, int(status), out, err)

    def _order(self, words: list[str], environment: dict[str, str], *streams: str) -> int:
        order = {"words": words, "environment": environment, "folder": os.getcwd(), "streams": streams}
        assert self._process.stdin and self._process.stdout
        with self._lock:
            print(json.dumps(order), file=self._process.stdin, flush=True)
            return int(self._process.stdout.readline())


def _go_on(
    main: Callable[[], object], words: list[str], environment: dict[str, str], folder: str, streams: list[str]
) -> None:
    """Be the program whose main function that is.

    Args:
        streams: files for its input, output and errors; and, where somebody asks, for its exit status.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    written = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, (path, flags) in enumerate(zip(streams, (os.O_RDONLY, written, written), strict=False)):
        os.dup2(os.open(path, flags, 0o600), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["mlship", *words]
    status: object = 1
    try:
        status = main()
    except SystemExit as end:
        status = end.code
        raise
    finally:
        if len(streams) > 3:
            Path(streams[3]).write_text(str(status or 0))


def _serve_forks(program: str) -> None:
    main: Callable[[], object]
    if program == "server":
        sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # as the command does
        import modelship_lab.server.extension  # noqa: F401
        from modelship_lab.server.__main__ import main
    else:
        from modelship_lab.commands.main import main
    # Whoever waits for a fork asks for its process; none stays behind as a zombie.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            _go_on(main, **json.loads(line))
            break
        print(pid, flush=True)


if __name__ == "__main__":
    _serve_forks(sys.argv[1])
