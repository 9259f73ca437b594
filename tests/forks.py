"""Programs as forks of a process that has imported what they import: that takes most of a start.

`python -m tests.forks server` is such a process. It reads one order a line; a fork then goes on as if it had been
started by its own command.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import psutil

from tests import job_forks

Program = Literal["server", "mlship", "trainers"]
"""The last is all commands that may train, `mlship` and `sentiment-*`: the first word says which."""


class ForkedServer(psutil.Process):
    """Its methods are those of `subprocess.Popen`, as far as tests need them; nobody hears its exit status."""

    def poll(self) -> int | None:
        """None while it runs."""
        return None if self.is_running() else 0

    def kill(self) -> None:
        """End it, if it has not ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            super().kill()


class Template:
    """The process of which others are forks; it ends with the tests."""

    def __init__(self, program: Program) -> None:
        words = [sys.executable, "-m", __name__, program]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Fork no more."""
        self._process.communicate()

    def fork(
        self, words: list[str], environment: dict[str, str], log: Path, program: str = ""
    ) -> ForkedServer:
        """A new server.

        Args:
            words: of its command line.
            log: gets what it prints.
            program: a file that is run instead of the server's own program. Its jobs are no forks.
        """
        streams = (os.devnull, str(log), str(log))
        return ForkedServer(self._order(words, environment, Path.cwd(), *streams, program=program))

    def run(
        self, words: list[str], environment: dict[str, str], stdin: str = "", folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What a command has said when it has ended.

        Args:
            folder: which it is used in; by default the current one.
        """
        with tempfile.TemporaryDirectory() as kept:
            streams = [Path(kept) / name for name in ("in", "out", "err", "status")]
            streams[0].write_text(stdin)
            pid = self._order(words, environment, folder or Path.cwd(), *map(str, streams))
            with contextlib.suppress(psutil.NoSuchProcess):  # A short one has ended already.
                psutil.Process(pid).wait(200)
            out, err, status = (stream.read_text() for stream in streams[1:])
        return subprocess.CompletedProcess(words, int(status), out, err)

    def _order(
        self,
        words: list[str],
        environment: dict[str, str],
        folder: Path,
        *streams: str,
        program: str = "",
    ) -> int:
        order = {
            "words": words,
            "environment": environment,
            "folder": str(folder),
            "streams": streams,
            "program": program,
        }
        assert self._process.stdin and self._process.stdout
        with self._lock:
            print(json.dumps(order), file=self._process.stdin, flush=True)
            return int(self._process.stdout.readline())


def _go_on(
    main: Callable[[], object],
    words: list[str],
    environment: dict[str, str],
    folder: str,
    streams: list[str],
    program: str,
) -> None:
    """Be the program whose main function that is.

    Args:
        streams: files for its input, output and errors; and, where somebody asks, for its exit status.
        program: a file that is run instead.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    written = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, (path, flags) in enumerate(zip(streams, (os.O_RDONLY, written, written), strict=False)):
        os.dup2(os.open(path, flags, 0o600), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["mlship", *words]
    if program:
        main = partial(runpy.run_path, program, run_name="__main__")
    status = job_forks.complete(main)
    if len(streams) > 3:
        Path(streams[3]).write_text(str(status))
    os._exit(status)


def _serve_forks(program: Program) -> None:
    main = _prepared(program)
    # Nor does a fork copy what it would only look through.
    gc.freeze()
    # Whoever waits for a fork asks for its process; none stays behind as a zombie.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            _go_on(main, **json.loads(line))
        print(pid, flush=True)


def _prepared(program: Program) -> Callable[[], object]:
    """A program's main function, once what it needs is imported."""
    if program == "mlship":
        from modelship_lab.commands.main import main

        return main
    for module in job_forks.IMPORTS:
        importlib.import_module(module)
    # It has a thread from its import on, and no fork of ours could end: it would wait for that.
    assert "onnxruntime" not in sys.modules
    if program == "trainers":
        return _trainer
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # as the command does
    import modelship_lab.server.extension  # noqa: F401
    from modelship_lab.server.__main__ import main as serve

    def begin() -> None:
        job_forks.begin()
        serve()

    return begin


def _trainer() -> object:
    from modelship_lab.commands import main, sentiment

    name = sys.argv.pop(1)
    return main.main() if name == "mlship" else getattr(sentiment, name.replace("-", "_"))()


if __name__ == "__main__":
    _serve_forks(sys.argv[1])  # type: ignore[arg-type]
