"""Model workers on this machine: started, found again after the lab server was away, cleared away."""

import asyncio
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
import psutil

from modelship_lab.records.errors import DeploymentFailed
from modelship_lab.server.child_processes import STANDARD_ERROR, environment, last_words
from modelship_lab.server.serving.worker import (
    POLL_S,
    Worker,
    is_alive,
    stop_process,
)

START_TIMEOUT_S = 120.0
KEEP_ALIVE_S = 4.0
"""Shorter than a worker keeps an idle connection, so that no request meets one that is just being closed."""

_FOLDER = re.compile(r"(\d+)-v(\d+)-[0-9a-f]{8}")


@dataclass(frozen=True)
class Launch:
    """What a worker is started with."""

    deployment_id: int
    name: str
    version: int
    bundle: Path
    key: str
    timeout_s: float
    max_batch: int
    max_queue: int
    port: int = 0
    """The port to take if it is free, so that a restarted worker keeps its address."""


@dataclass(frozen=True)
class Found:
    """A worker process of this lab that an earlier server started."""

    deployment_id: int
    version: int
    process: psutil.Process
    folder: Path


class LocalEngine:
    """Runs workers as processes of their own session, which outlive a killed lab server.

    Each worker has a folder: its ready file, its log. A living worker is recognized by its command
    line, which names that folder; so there is no list of pids that could be wrong.

    Args:
        folder: where the workers' folders lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Begin; in the event loop that will be used."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
            # Proxies are for the internet; a worker is on this machine.
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Let the connections go. Workers go on."""
        if self._session is not None:
            await self._session.close()

    async def start(self, launch: Launch) -> Worker:
        """Start a worker and wait until it is warm.

        Raises:
            DeploymentFailed: it ended, or was not warm in time; says what its log says.
        """
        begun = time.perf_counter()
        folder = self._folder / f"{launch.deployment_id}-v{launch.version}-{secrets.token_hex(4)}"
        process, child = await asyncio.to_thread(_spawn, launch, folder)
        try:
            ready = await _ready(process, child, folder)
        except BaseException as error:
            # Also when the start is given up from outside: nobody would know of this process.
            await asyncio.shield(stop_process(process, child, 0.0))
            if not isinstance(error, _NotReady):
                await asyncio.to_thread(shutil.rmtree, folder, True)
                raise
            said = await asyncio.to_thread(last_words, folder / STANDARD_ERROR, launch.key)
            await asyncio.to_thread(shutil.rmtree, folder, True)
            raise DeploymentFailed(f"{error}{': ' + said if said else '.'}") from None
        total = (time.perf_counter() - begun) * 1000
        split = {str(name): float(value) for name, value in ready["cold_start_ms"].items()}
        cold_start = {"spawn": max(0.0, total - sum(split.values())), **split, "total": total}
        return self._worker(
            launch.deployment_id,
            launch.version,
            process,
            child,
            folder,
            ready["address"],
            launch.key,
            cold_start,
        )

    async def find(self) -> list[Found]:
        """All living workers of this lab; folders of dead ones are cleared away."""
        return await asyncio.to_thread(self._find)

    def _find(self) -> list[Found]:
        found = []
        for process in psutil.process_iter():
            try:
                folder = self._folder_of(process.cmdline())
                if folder is None or process.uids().real != os.getuid():
                    continue
            except psutil.Error:
                continue
            name = _FOLDER.fullmatch(folder.name)
            if name is not None and is_alive(process, None):
                found.append(Found(int(name[1]), int(name[2]), process, folder))
        kept = {one.folder for one in found}
        for folder in self._folder.iterdir():
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        return found

    def _folder_of(self, command: list[str]) -> Path | None:
        if "modelship_lab.worker" not in command or "--ready-file" not in command[:-1]:
            return None
        folder = Path(command[command.index("--ready-file") + 1]).parent
        return folder if folder.parent == self._folder else None

    async def clear(self, found: Found) -> None:
        """End a worker that nobody wants any more."""
        await stop_process(found.process, None, 0.0)
        await asyncio.to_thread(shutil.rmtree, found.folder, True)

    async def adopt(self, found: Found, key: str) -> Worker | None:
        """Take over a worker that is warm and answers to its key; None if it is or does not."""
        ready = _read_ready(found.folder / "ready.json")
        if ready is None or ready.get("pid") != found.process.pid:
            return None
        worker = self._worker(
            found.deployment_id, found.version, found.process, None, found.folder, ready["address"], key, {}
        )
        return worker if await worker.healthy(timeout_s=5.0) else None

    def _worker(
        self,
        deployment_id: int,
        version: int,
        process: psutil.Process,
        child: "subprocess.Popen[bytes] | None",
        folder: Path,
        address: str,
        key: str,
        cold_start_ms: dict[str, float],
    ) -> Worker:
        assert self._session is not None
        return Worker(
            deployment_id=deployment_id,
            version=version,
            process=process,
            child=child,
            folder=folder,
            address=address.rstrip("/"),
            key=key,
            session=self._session,
            cold_start_ms=cold_start_ms,
        )


class _NotReady(Exception):
    """A worker that ended or took too long."""


def _spawn(launch: Launch, folder: Path) -> "tuple[psutil.Process, subprocess.Popen[bytes]]":
    folder.mkdir(mode=0o700)
    command = [
        sys.executable,
        "-m",
        "modelship_lab.worker",
        *("--bundle", str(launch.bundle)),
        *("--name", launch.name),
        *("--model-version", f"v{launch.version}"),
        *("--port", str(launch.port if _is_free(launch.port) else 0)),
        *("--ready-file", str(folder / "ready.json")),
        *("--max-batch", str(launch.max_batch)),
        *("--max-queue", str(launch.max_queue)),
        *("--timeout-s", f"{launch.timeout_s:g}"),
        *("--log", str(folder / "worker.log")),
    ]
    # By the environment and not by the command line, which other users of the machine can read.
    passed_on = {**environment(), "MLSHIP_WORKER_KEY": launch.key}
    with (folder / STANDARD_ERROR).open("wb") as log:
        try:
            child = subprocess.Popen(
                command,
                env=passed_on,
                # Not the folder the server was started in: a user's `numpy.py` there would be imported.
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Neither an interrupt of the server's terminal nor the server's death reaches it.
                start_new_session=True,
            )
        except OSError as error:
            raise DeploymentFailed(f"No process could be started: {error.strerror}.") from error
    return psutil.Process(child.pid), child


async def _ready(process: psutil.Process, child: "subprocess.Popen[bytes]", folder: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if (ready := _read_ready(folder / "ready.json")) is not None:
            return ready
        if not is_alive(process, child):
            raise _NotReady(f"The model worker ended with exit status {child.returncode}")
        await asyncio.sleep(POLL_S)
    raise _NotReady(f"The model worker was not warm within {START_TIMEOUT_S:g} s")


def _read_ready(file: Path) -> dict[str, Any] | None:
    try:
        content = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return content if isinstance(content, dict) and content.get("address") else None


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do, so that connections which are just ending do not count as taking the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def port_of(address: str | None) -> int:
    """The port of a worker's address, 0 if there is none."""
    return (urlsplit(address).port or 0) if address else 0
