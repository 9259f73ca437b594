"""Requests that wait on disk until the lab server has acknowledged them.

    <data dir>/spool/<lab id>/<account id>/<producer>/owner.lock        held by the process that writes here
    <data dir>/spool/<lab id>/<account id>/<producer>/owner.json        which run this process executes
    <data dir>/spool/<lab id>/<account id>/<producer>/00000001.request  one line of JSON, then the body

Every request in a spool is repeatable, so sending one twice changes nothing. The lock is the
operating system's: when its process dies it is free, and the next client replays what is left.
"""

import logging
import shutil
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from modelship_lab.client.spooled_request import SpooledRequest
from modelship_lab.records.base import Record

log = logging.getLogger(__name__)

MEMORY_BYTES = 64 << 20
"""The most that waits in memory while the disk takes nothing."""

OWNER = "owner.json"


class RunOwner(Record):
    """Beside the requests of the process that executes a run: which run, so that its death can be told."""

    run_id: int


class Spool:
    """The ordered requests of one producer, owned by this process until `close`.

    While the disk takes nothing, what is small waits in memory.

    Args:
        folder: where the spools of this account of this lab lie.
        quota_bytes: the most that may wait on disk.
        owner: the run that this process executes, if its requests are those of it.
    """

    def __init__(self, folder: Path, quota_bytes: int, owner: "RunOwner | None" = None) -> None:
        self.producer = uuid.uuid4().hex
        self.quota_bytes = quota_bytes
        self.folder = folder / self.producer
        # Not per thread: the thread that sends the last request is the one that lets go.
        self._lock = FileLock(self.folder / "owner.lock", timeout=0, thread_local=False)
        self._changed = threading.Condition()
        self._waiting: dict[int, _Waiting] = {}
        """By sequence, in order."""
        self._disk_bytes = 0
        self._memory_bytes = 0
        self._sequence = 0
        self._is_refused = False
        """Whether the disk refused the last request."""
        try:
            self.folder.mkdir(parents=True, mode=0o700)
            self._lock.acquire()
            if owner is not None:
                (self.folder / OWNER).write_text(owner.model_dump_json())
        except OSError as error:
            self._refused(error)

    def __len__(self) -> int:
        return len(self._waiting)

    def next_sequence(self) -> int:
        """The number of the next request. One thread at a time numbers and appends."""
        return self._sequence + 1

    def append(self, request: SpooledRequest, *, always: bool = False) -> bool:
        """Keep a request: on disk, so that it survives this process and the machine's power.

        Args:
            always: keep it in memory if there is room for it nowhere else; for small ones that matter.

        Returns:
            False when there is room for it neither on disk nor in memory; then it is not kept.
        """
        with self._changed:
            self._sequence += 1
            sequence = self._sequence
            is_full = self._disk_bytes + self._memory_bytes + request.size > self.quota_bytes
        if is_full and not always:
            return False
        in_memory = is_full or not self._write(sequence, request)
        with self._changed:
            has_room = request.file is None and self._memory_bytes + request.size <= MEMORY_BYTES
            if in_memory and not (has_room or always):
                return False
            waiting = _Waiting(request.size, request if in_memory else None)
            self._waiting[sequence] = waiting
            self._count(waiting, 1)
            self._changed.notify_all()
        return True

    def oldest(self) -> tuple[int, SpooledRequest] | None:
        """The request that is to be sent next, with its sequence."""
        with self._changed:
            sequence = next(iter(self._waiting), None)
            if sequence is None:
                return None
            waiting = self._waiting[sequence]
        return sequence, waiting.request or SpooledRequest.read(self.folder / _name(sequence))

    def acknowledged(self, sequence: int, *, refused: bool = False) -> None:
        """Forget a request that the server has stored, or put aside one that it will never take."""
        path = self.folder / _name(sequence)
        if self._waiting[sequence].request is None:
            put_aside(path) if refused else path.unlink(missing_ok=True)
        with self._changed:
            self._count(self._waiting.pop(sequence), -1)
            self._changed.notify_all()

    def wait_for_work(self, timeout_s: float) -> None:
        """Return when something waits to be sent, at the latest after `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting), timeout_s)

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Whether everything is acknowledged, at the latest after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout_s)

    def close(self) -> int:
        """Give the folder up; what still waits in it belongs to the next client.

        Returns:
            How many requests could not be written to it and are lost.
        """
        lost = 0
        for sequence, waiting in self._waiting.items():
            if waiting.request is not None:
                try:
                    waiting.request.write_durably(self.folder / _name(sequence))
                except OSError:
                    lost += 1
        release(self.folder, self._lock)
        return lost

    def _count(self, waiting: "_Waiting", sign: int) -> None:
        if waiting.request is None:
            self._disk_bytes += sign * waiting.size
        else:
            self._memory_bytes += sign * waiting.size

    def _write(self, sequence: int, request: SpooledRequest) -> bool:
        try:
            request.write_durably(self.folder / _name(sequence))
        except OSError as error:
            self._refused(error)
            return False
        if self._is_refused:
            log.warning("The spool in %s can be written again.", self.folder)
        self._is_refused = False
        return True

    def _refused(self, error: OSError) -> None:
        if not self._is_refused:
            log.error(
                "The spool in %s cannot be written (%s): what is logged waits in memory, %d MB at most. "
                "Make room on the disk.",
                self.folder,
                error.strerror,
                MEMORY_BYTES >> 20,
            )
        self._is_refused = True


class _Waiting(NamedTuple):
    size: int
    request: SpooledRequest | None
    """The request itself if it is not on disk."""


def put_aside(path: Path) -> None:
    """Keep a request that cannot be sent where it does not hold up the others."""
    path.rename(path.with_suffix(".refused"))


def release(folder: Path, lock: FileLock) -> None:
    """Remove the folder when nothing waits or was refused in it, then let go of it."""
    if not any(_kept(folder)):
        # While the lock is still held: nobody else can have begun to replay it.
        shutil.rmtree(folder, ignore_errors=True)
    lock.release()


def _kept(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*") if path.suffix in (".request", ".refused"))


def _name(sequence: int) -> str:
    return f"{sequence:08d}.request"
