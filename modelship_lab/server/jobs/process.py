"""The process of one job: started, listened to, and ended with whoever waits for it."""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import orjson

from modelship_lab.records.errors import LabError, Unavailable, error_from_code
from modelship_lab.records.jobs import JobProgress
from modelship_lab.server.child_processes import STANDARD_ERROR, environment, last_words

MODULE = "modelship_lab.learning.jobs"

GRACE_S = 2.0
"""For a process to end after it was told to."""

MAX_LINE = 1 << 16

OnProgress = Callable[[JobProgress], None]

# Labeling must not be slower while a job computes: one thread, whatever its libraries would take.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS"), "1"
)


async def run(kind: str, folder: Path, told: OnProgress) -> None:
    """Run a job to its end. When this is cancelled the process is ended, and it ends by itself with the server.

    The process gets no credential: what it needs lies in its folder, and what it makes is left there.

    Raises:
        LabError: it failed; says what it said.
    """
    with (folder / STANDARD_ERROR).open("wb") as log:
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", MODULE, kind, str(folder)),
                env={**environment(), **_ONE_THREAD},
                cwd=folder,
                # The process ends when this is closed, which the operating system does when the server dies.
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=MAX_LINE,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"No process could be started: {error.strerror}.") from error
    try:
        failure = await _listen(process, told)
        status = await process.wait()
    finally:
        await _end(process)
    if failure is not None:
        raise failure
    if status < 0:
        raise LabError(f"The job's process was ended by signal {-status}.")
    if status:
        said = await asyncio.to_thread(last_words, folder / STANDARD_ERROR)
        raise LabError(f"The job's process ended with exit status {status}{': ' + said if said else '.'}")


async def _listen(process: asyncio.subprocess.Process, told: OnProgress) -> LabError | None:
    """Pass on what a process says until it says no more; returns the error that it tells of."""
    assert process.stdout is not None
    failure = None
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            # A line that is too long says nothing that is for us.
            continue
        if not line:
            return failure
        try:
            said = orjson.loads(line)
            if "error" in said:
                failure = error_from_code(
                    said["error"]["code"], said["error"]["message"][:2000], said["error"]["details"]
                )
            else:
                progress = min(max(float(said["progress"]), 0.0), 1.0)
                told(JobProgress(progress=progress, message=str(said["message"])[:500]))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            continue


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), GRACE_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
