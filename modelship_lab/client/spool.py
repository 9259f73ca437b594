"""Requests that wait on disk until the lab server has acknowledged them.

    <data dir>/spool/<lab id>/<account id>/<producer>/owner.lock        held by the process that writes here
    <data dir>/spool/<lab id>/<account id>/<producer>/00000001.request  one line of JSON, then the body

Every request in a spool is repeatable, so sending one twice changes nothing. The lock is the
operating system's: when its process dies it is free, and the next client replays what is left.
"""

import json
import logging
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from modelship_lab.client.connection import Connection
from modelship_lab.records.errors import (
    AlreadyOpen,
    LabError,
    NotFound,
    TimedOut,
    TooManyRequests,
    Unavailable,
)

log = logging.getLogger(__name__)

_TRANSIENT = (Unavailable, TimedOut, TooManyRequests)
_LATER = (AlreadyOpen,)
"""The lab is open in another process than the one that was asked."""


@dataclass(frozen=True)
class SpooledRequest:
    """A repeatable request: what it says of itself, and its body."""

    method: str
    path: str
    params: dict[str, Any] = field(default_factory=dict)
    content_type: str = "application/octet-stream"
    body: bytes = b""

    def send(self, connection: Connection, patience_s: float) -> bytes:
        """Send it and return the answer's body."""
        return connection.request(
            self.method,
            self.path,
            params=self.params,
            content=self.body,
            headers={"Content-Type": self.content_type},
            repeatable=True,
            patience_s=patience_s,
        ).content

    def to_bytes(self) -> bytes:
        header = {
            "method": self.method,
            "path": self.path,
            "params": self.params,
            "content_type": self.content_type,
        }
        return json.dumps(header).encode() + b"\n" + self.body

    @staticmethod
    def from_bytes(data: bytes) -> "SpooledRequest":
        header, _, body = data.partition(b"\n")
        return SpooledRequest(body=body, **json.loads(header))


class Spool:
    """The ordered requests of one producer, owned by this process until `close`.

    Args:
        folder: where the spools of this account of this lab lie.
        quota_bytes: the most that may wait here.
    """

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self.producer = uuid.uuid4().hex
        self.quota_bytes = quota_bytes
        self.folder = folder / self.producer
        self.folder.mkdir(parents=True, mode=0o700)
        # Not per thread: the thread that sends the last request is the one that lets go.
        self._lock = FileLock(self.folder / "owner.lock", timeout=0, thread_local=False)
        self._lock.acquire()
        self._changed = threading.Condition()
        self._waiting: dict[int, int] = {}
        """Sequence to bytes on disk, in order."""
        self._bytes = 0
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def next_sequence(self) -> int:
        """The number of the next request. One thread at a time numbers and appends."""
        return self._sequence + 1

    def append(self, request: SpooledRequest) -> bool:
        """Write a request so that it survives this process and the machine's power.

        Returns:
            False when the quota is used up; then nothing was written.
        """
        data = request.to_bytes()
        with self._changed:
            if self._bytes + len(data) > self.quota_bytes:
                return False
            self._sequence += 1
            sequence = self._sequence
        try:
            _write_durably(self.folder / _name(sequence), data)
        except OSError as error:
            # A full disk is the same to the caller as a used-up quota.
            log.error("The spool in %s cannot be written: %s", self.folder, error.strerror)
            return False
        with self._changed:
            self._waiting[sequence] = len(data)
            self._bytes += len(data)
            self._changed.notify_all()
        return True

    def oldest(self) -> tuple[int, SpooledRequest] | None:
        """The request that is to be sent next, with its sequence."""
        with self._changed:
            sequence = next(iter(self._waiting), None)
        if sequence is None:
            return None
        return sequence, SpooledRequest.from_bytes((self.folder / _name(sequence)).read_bytes())

    def acknowledged(self, sequence: int, *, refused: bool = False) -> None:
        """Forget a request that the server has stored, or put aside one that it will never take."""
        path = self.folder / _name(sequence)
        if refused:
            path.rename(path.with_suffix(".refused"))
        else:
            path.unlink(missing_ok=True)
        with self._changed:
            self._bytes -= self._waiting.pop(sequence)
            self._changed.notify_all()

    def wait_for_work(self, timeout_s: float) -> None:
        """Return when something waits to be sent, at the latest after `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting), timeout_s)

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Whether everything is acknowledged, at the latest after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout_s)

    def close(self) -> None:
        """Give the folder up; what still waits in it belongs to the next client."""
        _release(self.folder, self._lock)


def replay(folder: Path, connection: Connection, patience_s: float = 5.0) -> int:
    """Send what processes that are gone have left below `folder`.

    Returns:
        How many requests the server has acknowledged.

    Raises:
        Unavailable, TimedOut: the server is away; what is left stays for the next client.
    """
    sent = 0
    for spool in sorted(folder.glob("*/")):
        lock = FileLock(spool / "owner.lock", timeout=0)
        try:
            lock.acquire()
        except (Timeout, OSError):
            continue
        try:
            for path in sorted(spool.glob("*.request")):
                try:
                    request = SpooledRequest.from_bytes(path.read_bytes())
                except (ValueError, TypeError):
                    # One damaged file must not hold up all the others for ever.
                    log.warning("%s is damaged and was put aside.", path)
                    path.rename(path.with_suffix(".refused"))
                    continue
                sent += deliver(
                    request,
                    lambda request: request.send(connection, patience_s),
                    on_done=path.unlink,
                    on_refused=lambda path=path: path.rename(path.with_suffix(".refused")),  # type: ignore[misc]
                )
        finally:
            _release(spool, lock)
    return sent


def deliver(
    request: SpooledRequest,
    send: Callable[[SpooledRequest], Any],
    on_done: Callable[[], Any],
    on_refused: Callable[[], Any],
) -> bool:
    """Send one request and clear it away, unless the server is away.

    Returns:
        Whether the server has stored it.

    Raises:
        Unavailable, TimedOut, TooManyRequests: it is to be sent again later.
    """
    try:
        send(request)
    except _TRANSIENT:
        raise
    except NotFound:
        # The run was deleted; nobody misses this.
        on_done()
        return False
    except LabError as error:
        if error.status in (401, 403) or error.status >= 500 or isinstance(error, _LATER):
            raise Unavailable(f"The lab server does not take {request.path} now: {error.message}") from error
        log.warning("The lab server refused %s %s: %s", request.method, request.path, error.message)
        on_refused()
        return False
    on_done()
    return True


def _name(sequence: int) -> str:
    return f"{sequence:08d}.request"


def _write_durably(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".writing")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _release(folder: Path, lock: FileLock) -> None:
    """Remove the folder when nothing waits or was refused in it, then let go of it."""
    if not any(_kept(folder)):
        # While the lock is still held: nobody else can have begun to replay it.
        shutil.rmtree(folder, ignore_errors=True)
    lock.release()


def _kept(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*") if path.suffix in (".request", ".refused"))
