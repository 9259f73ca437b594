"""Files are read as they are at one moment, or not at all."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from modelship_lab.records.errors import InvalidData

_PIECE = 1 << 20
_CLOCK_NS = 20_000_000
"""File systems tell times no finer than the ticks of the system's clock."""


def pieces(path: Path, size: int | None = None) -> Iterator[bytes]:
    """The content of a file, of which the last piece is only given when the file did not change meanwhile.

    Args:
        path: of the file.
        size: what it was said to have, in bytes; never more than these are given.

    Raises:
        InvalidData: it has changed.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        if abs(time.time_ns() - before.st_mtime_ns) < _CLOCK_NS:
            # A change in the same tick would leave the time as it is.
            time.sleep(_CLOCK_NS / 1e9)
        expected = before.st_size if size is None else size
        held = file.read(_PIECE)
        taken = len(held)
        while taken <= expected and (piece := file.read(_PIECE)):
            yield held
            held = piece
            taken += len(piece)
        after = os.fstat(file.fileno())
    if (taken, after.st_size, after.st_mtime_ns) != (expected, expected, before.st_mtime_ns):
        raise InvalidData(
            f"The file {path.name} is being written while it is read, so that a copy of it would be of no moment. "
            "Save it when it is complete, or save a copy."
        )
    if held:
        yield held
