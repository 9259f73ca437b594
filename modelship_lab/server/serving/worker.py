"""A model worker process as the lab server sees it: is it alive, what does it answer, stop it."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil

from modelship_lab.records.errors import TimedOut, Unavailable
from modelship_lab.server.child_processes import STANDARD_ERROR, last_words

POLL_S = 0.02


@dataclass(frozen=True)
class Answer:
    """What a worker answered, passed on as it is."""

    status: int
    body: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)


_PASSED_ON = ("Retry-After", "X-Request-ID")
"""The request's id too: it stands in the body of an error and in the worker's log."""


class Worker:
    """A worker process that is warm, a child of this server or of an earlier one.

    Args:
        deployment_id: whose it is.
        version: the deployment's version that it serves.
        process: the operating system's process.
        child: the same process, if this server started it.
        folder: its own folder, removed when it is stopped.
        address: where it listens, e.g. `http://127.0.0.1:41233`.
        key: its bearer credential.
        cold_start_ms: how long its start took, if this server saw it.
    """

    def __init__(
        self,
        *,
        deployment_id: int,
        version: int,
        process: psutil.Process,
        child: "subprocess.Popen[bytes] | None",
        folder: Path,
        address: str,
        key: str,
        session: aiohttp.ClientSession,
        cold_start_ms: dict[str, float],
    ) -> None:
        self.deployment_id = deployment_id
        self.version = version
        self.pid: int = process.pid
        self.address = address
        self.cold_start_ms = cold_start_ms
        self.ready_at = time.monotonic()
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.adopted = child is None
        self._process = process
        self._child = child
        self._folder = folder
        self._session = session
        self._key = key
        self._headers = {"Authorization": f"Bearer {key}"}

    def alive(self) -> bool:
        """Whether the process runs. Costs microseconds."""
        return is_alive(self._process, self._child)

    async def cause_of_death(self) -> str:
        """Why the process is gone, as far as this server can know."""
        status = self._child.poll() if self._child is not None else None
        if status is None:
            return "The model worker died."
        if status < 0:
            return f"The model worker was ended by signal {-status}."
        said = await asyncio.to_thread(last_words, self._folder / STANDARD_ERROR, self._key)
        return f"The model worker ended with exit status {status}{': ' + said if said else '.'}"

    @contextmanager
    def used(self) -> Iterator[None]:
        """Count a request as in flight, so that the worker is not stopped under it."""
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def idle(self) -> None:
        """Wait until no request is in flight."""
        await self._idle.wait()

    async def predict(self, body: bytes, content_type: str, timeout_s: float) -> Answer:
        """Hand a predict request to the worker.

        Raises:
            ConnectionResetError: the worker went away with the request.
            ConnectionError: the worker could not be reached; the request was not sent.
            TimedOut: no answer within `timeout_s`.
        """
        try:
            async with self._session.post(
                f"{self.address}/predict",
                data=body,
                headers={**self._headers, "Content-Type": content_type},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                return Answer(
                    status=response.status,
                    body=await response.read(),
                    content_type=response.headers.get("Content-Type", "application/json"),
                    headers={name: response.headers[name] for name in _PASSED_ON if name in response.headers},
                )
        except TimeoutError as error:
            raise TimedOut(f"The model gave no answer within {timeout_s:g} s.") from error
        except aiohttp.ClientConnectorError as error:
            raise ConnectionError("The model worker cannot be reached.") from error
        except aiohttp.ClientError as error:
            raise ConnectionResetError("The model worker went away during the request.") from error

    async def healthy(self, timeout_s: float) -> bool:
        """Whether this is a worker with our key and it answers."""
        try:
            await self.stats(int(time.time()), timeout_s)
        except Unavailable:
            return False
        return True

    async def stats(self, since: int, timeout_s: float = 5.0) -> dict[str, Any]:
        """What the worker did in the finished seconds after the Unix second `since`.

        Raises:
            Unavailable: it did not answer, or it is not our worker.
        """
        try:
            async with self._session.get(
                f"{self.address}/stats",
                params={"since": since},
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                body = await response.read()
                answer = orjson.loads(body) if response.status == 200 else None
        except (TimeoutError, aiohttp.ClientError, orjson.JSONDecodeError) as error:
            raise Unavailable("The model worker does not answer.") from error
        if not isinstance(answer, dict):
            raise Unavailable("The model worker refused to say how it is.")
        return answer

    async def stop(self, grace_s: float) -> None:
        """Let the worker finish what it has and end; kill it if it takes longer than the grace."""
        await stop_process(self._process, self._child, grace_s)
        await asyncio.to_thread(shutil.rmtree, self._folder, True)


def is_alive(process: psutil.Process, child: "subprocess.Popen[bytes] | None") -> bool:
    """Whether a process runs; one that has ended and is ours is buried."""
    if child is not None:
        return child.poll() is None
    try:
        # `is_running` compares the start time: the pid of a dead worker may be somebody else's now.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


async def stop_process(
    process: psutil.Process, child: "subprocess.Popen[bytes] | None", grace_s: float
) -> None:
    """End a process: SIGTERM, and SIGKILL when it is still there after the grace."""
    for signal, patience_s in ((process.terminate, grace_s), (process.kill, 10.0)):
        if not is_alive(process, child):
            return
        try:
            signal()
        except psutil.NoSuchProcess:
            return
        for _ in range(int(patience_s / POLL_S)):
            await asyncio.sleep(POLL_S)
            if not is_alive(process, child):
                return
