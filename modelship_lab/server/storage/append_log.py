"""Records at the end of a file, each of them on disk as soon as it is written."""

import logging
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from modelship_lab.server.storage.data_dir import sync_folder

log = logging.getLogger(__name__)


class AppendLog:
    """A file of lines, each with its checksum: what a crash has torn is told apart and not there.

    Args:
        path: the file; made if it is not there.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
        sync_folder(path.parent)
        self._end = 0
        """Behind the last whole record; what comes after it is overwritten."""

    def records(self) -> Iterator[bytes]:
        """All records, the oldest first. They are read to their end before anything is appended."""
        self._file.seek(0)
        self._end = 0
        for line in self._file.readall().splitlines(keepends=True):
            checksum, _, record = line[:-1].partition(b" ")
            if not line.endswith(b"\n") or checksum != _checksum(record):
                return
            self._end += len(line)
            yield record

    def append(self, record: bytes) -> None:
        """Write a record without line breaks; it is on disk when this returns.

        Raises:
            OSError: the disk did not take it, and it is not there.
        """
        line = memoryview(b"%b %b\n" % (_checksum(record), record))
        self._file.seek(self._end)
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
            os.fsync(self._file.fileno())
        except OSError:
            self._cut()
            raise
        self._end += len(line)

    def clear(self) -> None:
        """Forget all records. They may be there again after a crash of the machine."""
        if self._end:
            self._end = 0
            self._cut()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _cut(self) -> None:
        try:
            self._file.truncate(self._end)
        except OSError as error:
            # It is overwritten by and by.
            log.warning("The journal's file cannot be cut: %s", error.strerror)


def _checksum(record: bytes) -> bytes:
    return b"%08x" % zlib.crc32(record)
