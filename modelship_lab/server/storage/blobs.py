"""Content-addressed files: a file's name is the SHA-256 of its content."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelship_lab.records.errors import NotFound
from modelship_lab.server.storage.data_dir import sync_folder

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


class Blobs:
    """A folder of immutable files, found by the SHA-256 of their content.

    A file appears under its name only when it is complete and on disk: it is written to a
    temporary name, fsynced and renamed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".new-*"):
            # Of a process that died before the file had its name.
            leftover.unlink()

    def put(self, content: bytes) -> str:
        """Store bytes; returns their digest."""
        digest = hashlib.sha256(content).hexdigest()
        target = self._path(digest)
        if not target.exists():
            with self._temporary() as file:
                file.write(content)
                self._keep(file, target)
        sync_folder(target.parent)
        return digest

    def put_many(self, contents: Iterable[bytes]) -> list[str]:
        """Store many; the folders are synced once at the end."""
        digests, folders = [], set()
        for content in contents:
            digest = hashlib.sha256(content).hexdigest()
            target = self._path(digest)
            if not target.exists():
                with self._temporary() as file:
                    file.write(content)
                    self._keep(file, target)
                folders.add(target.parent)
            digests.append(digest)
        for folder in folders:
            sync_folder(folder)
        return digests

    def adopt(self, file: Path) -> str:
        """Move a finished file into the store; returns its digest."""
        hasher = hashlib.sha256()
        with file.open("rb") as source:
            while chunk := source.read(_CHUNK):
                hasher.update(chunk)
            os.fsync(source.fileno())
        digest = hasher.hexdigest()
        target = self._path(digest)
        target.parent.mkdir(exist_ok=True)
        try:
            os.replace(file, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # The folder may be a link to another disk.
            with file.open("rb") as source, self._temporary() as copy:
                shutil.copyfileobj(source, copy, _CHUNK)
                self._keep(copy, target)
            file.unlink()
        sync_folder(target.parent)
        return digest

    def path(self, digest: str) -> Path:
        """The file of a digest.

        Raises:
            NotFound: there is none, or the digest is not one.
        """
        # The pattern is what keeps a client's `../..` inside the folder.
        if not _DIGEST.fullmatch(digest) or not (path := self._path(digest)).is_file():
            raise NotFound("There is no file with this digest.")
        return path

    def read(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest

    @contextmanager
    def _temporary(self) -> "Iterator[tempfile._TemporaryFileWrapper[bytes]]":
        """A file that is gone unless it was kept: on a full disk, halves of files must not stay."""
        file = tempfile.NamedTemporaryFile(dir=self.folder, prefix=".new-", delete=False)  # noqa: SIM115
        try:
            with file:
                yield file
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise

    def _keep(self, file: "tempfile._TemporaryFileWrapper[bytes]", target: Path) -> None:
        file.flush()
        os.fsync(file.fileno())
        target.parent.mkdir(exist_ok=True)
        os.replace(file.name, target)
