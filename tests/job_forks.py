"""The processes of a server's jobs as forks, too: of one beside it that has imported what trainings import.

The server may have begun threads when it starts a job, and no fork of it would be sound. So it is forked once more
at its beginning, and that process forks the jobs, which the server adopts: it is their parent, as it would be of
processes that it had started.
"""

import atexit
import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from modelship_lab.learning.jobs.__main__ import main
from modelship_lab.server.jobs.process import MODULE

IMPORTS = (
    "lightning",
    "modelship_lab.learning.jobs.data_file",
    "modelship_lab.learning.jobs.embeddings",
    "modelship_lab.learning.jobs.execution",
    "modelship_lab.learning.jobs.label_errors",
    "modelship_lab.learning.jobs.training",
    "modelship_lab.learning.recipes.text_linear",
)
"""What jobs would take their time for."""

_ADOPT = 36
"""Linux's PR_SET_CHILD_SUBREAPER: whose parent ends becomes the child of the next process above that asked for it."""


def begin() -> None:
    """From here on jobs that this process starts are forks. Call it before there is a second thread."""
    if ctypes.CDLL(None, use_errno=True).prctl(_ADOPT, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "children cannot be adopted")
    orders, received = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        orders.close()
        _serve(received)
    received.close()
    start = subprocess.Popen._execute_child  # type: ignore[attr-defined]
    names = inspect.signature(start)
    lock = threading.Lock()

    def forked(self: Any, *given: Any) -> None:
        asked = names.bind(self, *given).arguments
        if list(asked["args"][:3]) != [sys.executable, "-m", MODULE]:
            start(self, *given)
            return
        assert asked["start_new_session"] and asked["close_fds"]
        order = {"words": asked["args"][3:], "environment": asked["env"], "folder": str(asked["cwd"])}
        streams = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        with lock:
            socket.send_fds(orders, [json.dumps(order).encode()], streams)
            self.pid = int(orders.recv(32))
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in pipes))

    subprocess.Popen._execute_child = forked  # type: ignore[attr-defined]


def _serve(orders: socket.socket) -> None:
    """Fork a job for each order, until the server is gone; a fork does its job here, and ends."""
    while True:
        order, streams, _, _ = socket.recv_fds(orders, 1 << 16, 3)
        if not order:
            os._exit(0)
        told, tell = os.pipe()
        if (between := os.fork()) == 0:
            if (job := os.fork()) == 0:
                orders.close()
                os.close(told)
                os.close(tell)
                _go_on(streams, **json.loads(order))
            os.write(tell, str(job).encode())
            os._exit(0)
        # The server is told of a job when it is its parent.
        os.waitpid(between, 0)
        orders.send(os.read(told, 32))
        for number in (told, tell, *streams):
            os.close(number)


def _go_on(streams: list[int], words: list[str], environment: dict[str, str], folder: str) -> None:
    """Be the process of a job."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [MODULE, *words]
    os._exit(complete(main))


def complete(main: Callable[[], object]) -> int:
    """Run a main function to the end of its program, but for what the interpreter clears up; returns the exit status.

    Clearing up writes to all the memory that a fork shares with where it comes from, and copies it: that takes seconds.
    """
    status: object = 1
    try:
        status = main()
    except SystemExit as end:
        status = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if isinstance(status, str):
        print(status, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return status if isinstance(status, int) else int(bool(status))
