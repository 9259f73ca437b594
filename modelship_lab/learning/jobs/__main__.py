"""`python -m modelship_lab.learning.jobs KIND FOLDER`: do the job that lies in a folder.

Standard output carries JSON lines, `{"progress": 0.5, "message": "…"}` and at last perhaps
`{"error": {"code": "…", "message": "…"}}`. The process ends when its standard input does: when the
server that started it is gone. Not so the jobs of `OUTLIVING`, which speak through their folder, see `execution`.
"""

import atexit
import importlib
import os
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn, get_args

import orjson

from modelship_lab.records.errors import LabError
from modelship_lab.records.jobs import OUTLIVING, JobKind

NICENESS, NICENESS_OF_TRAINING = 10, 3
"""Whoever labels comes first; but somebody waits for a training, too."""

KINDS: tuple[str, ...] = (*get_args(JobKind), "data_file")
"""Those of jobs, and what the server asks without making a job of it."""


def main() -> int:
    kind, folder = sys.argv[1:]
    os.nice(NICENESS_OF_TRAINING if kind in OUTLIVING else NICENESS)
    if kind not in KINDS:
        raise ValueError(f"There is no job {kind!r}.")
    if kind in OUTLIVING:
        from modelship_lab.learning.jobs.execution import execute

        return execute(kind, Path(folder))
    said = os.fdopen(os.dup(1), "wb", buffering=0)
    # What a library prints is no message of ours.
    os.dup2(2, 1)
    threading.Thread(target=_end_with_server, daemon=True).start()

    def say(message: dict[str, Any]) -> None:
        said.write(orjson.dumps(message) + b"\n")

    def tell(progress: float, message: str) -> None:
        say({"progress": progress, "message": message})

    job = importlib.import_module(f"modelship_lab.learning.jobs.{kind}")
    try:
        job.run(Path(folder), tell)
    except LabError as error:
        say({"error": {"code": error.code, "message": error.message, "details": error.details}})
        return 1
    return 0


def _end_with_server() -> None:
    # Not by `sys.stdin`, whose lock this thread would hold when the process ends in order.
    while os.read(0, 1024):
        pass
    os._exit(1)


def _leave(status: int) -> NoReturn:
    """End the process without taking apart what it has loaded: for torch that takes seconds, in which the job seems to
    run and its memory is not free."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    _leave(main())
