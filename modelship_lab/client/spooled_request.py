"""One request as it lies in a spool: what it says of itself in a line of JSON, then its body."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from modelship_lab.client import stable_file
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

_PIECE = 1 << 20
_LARGE = 16 << 20
"""Bytes of a body that is sent from its file, without having all of it in memory."""
_LONGEST_HEADER = 1 << 20
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
    body: "bytes | memoryview" = b""
    file: Path | None = None
    """Whose content, from `offset`, is the body instead."""
    offset: int = 0

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(memoryview(self.body)) if self.file is None else self.file.stat().st_size - self.offset

    def send(self, connection: Connection, patience_s: float) -> bytes:
        """Send it and return the answer's body."""
        headers = {"Content-Type": self.content_type}
        content: Any = bytes(self.body)
        if self.file is not None:
            headers["Content-Length"] = str(self.size)
            content = partial(_pieces, self.file, self.offset)
        return connection.request(
            self.method,
            self.path,
            params=self.params,
            content=content,
            headers=headers,
            repeatable=True,
            patience_s=patience_s,
        ).content

    def write_durably(self, path: Path) -> None:
        """Write it, all at once or not at all, so that it survives this process and the machine's power.

        Raises:
            OSError: the disk refuses.
            InvalidData: its file changed meanwhile.
        """
        temporary = path.with_suffix(".writing")
        try:
            with temporary.open("wb") as target:
                self._write(target)
                target.flush()
                os.fsync(target.fileno())
            temporary.rename(path)
        except (OSError, LabError):
            temporary.unlink(missing_ok=True)
            raise
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _write(self, target: BinaryIO) -> None:
        header = {
            "method": self.method,
            "path": self.path,
            "params": self.params,
            "content_type": self.content_type,
        }
        target.write(json.dumps(header).encode() + b"\n")
        if self.file is None:
            target.write(self.body)
        else:
            target.writelines(stable_file.pieces(self.file))

    @staticmethod
    def read(path: Path) -> "SpooledRequest":
        """The request that was written to a file; a large body stays there until it is sent.

        Raises:
            ValueError, TypeError: the file is damaged.
        """
        with path.open("rb") as source:
            header = json.loads(source.readline(_LONGEST_HEADER))
            offset = source.tell()
            if os.fstat(source.fileno()).st_size - offset > _LARGE:
                return SpooledRequest(file=path, offset=offset, **header)
            return SpooledRequest(body=source.read(), **header)


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


def _pieces(path: Path, offset: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while piece := file.read(_PIECE):
            yield piece
