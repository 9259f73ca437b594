"""Folders that travel as a zip file. Nothing is unpacked under the names in it."""

import os
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.labeling import SPLITS
from modelship_lab.server.labeling.formats.intake import MAX_UNPACKED
from modelship_lab.server.labeling.formats.rows import Batch, Problems

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"})

MAX_FILES = 500_000
"""Of one archive: each takes about a kilobyte of memory while it is read."""

MAX_IMAGE = 64 << 20
"""Bytes of an image file."""

MAX_DOCUMENT = 8 << 20
"""Bytes of a small file beside the images: names of classes, labels of one image."""

BATCH_BYTES = 16 << 20
BATCH_ROWS = 500

_CHUNK = 1 << 20
_LIST_BYTES = 150
"""What a file takes in the list of them, about."""
_ENCRYPTED = 1
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


class Archive:
    """The files of a zip file, by their paths; if all lie in one folder, relative to that.

    Raises:
        InvalidData: it is none, or it has too many files in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if _announced(path) > MAX_FILES:
                raise InvalidData(f"The archive has more than {MAX_FILES:,} files: import it in parts.")
            self._zip = zipfile.ZipFile(path)
        except (*_DAMAGE, struct.error):
            raise InvalidData("The file is not a zip file, or it is damaged or incomplete.") from None
        self.refused: list[tuple[str, str]] = []
        """Files that are not looked at, and why."""
        self._members: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            self._admit(info)
        self._strip_root()
        self._by_name: dict[str, str | None] | None = None
        self._unpacked = 0

    def _admit(self, info: zipfile.ZipInfo) -> None:
        name = info.filename.replace("\\", "/")
        parts = name.split("/")
        if info.is_dir() or parts[-1] in ("", ".DS_Store", "Thumbs.db") or parts[0] == "__MACOSX":
            return
        if name.startswith("/") or ".." in parts or ":" in parts[0] or "\0" in name:
            self.refused.append((name, "its path leads out of the archive"))
        elif info.flag_bits & _ENCRYPTED:
            self.refused.append((name, "it is encrypted"))
        elif (info.external_attr >> 16) & 0o170000 == 0o120000:
            self.refused.append((name, "it is a link"))
        elif any(part.startswith(".") for part in parts):
            return
        elif name in self._members:
            self.refused.append((name, "its path is there twice"))
        else:
            self._members[name] = info

    def _strip_root(self) -> None:
        """A folder that was packed as such is the root."""
        roots = {name.partition("/")[0] for name in self._members}
        if len(roots) == 1 and all("/" in name for name in self._members):
            (root,) = roots
            if root not in ("images", "labels", *SPLITS):
                self._members = {name[len(root) + 1 :]: info for name, info in self._members.items()}

    @property
    def names(self) -> Collection[str]:
        """The paths of the files."""
        return self._members.keys()

    @property
    def images(self) -> list[str]:
        """The paths of the images, sorted."""
        return sorted(name for name in self._members if is_image(name))

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def find(self, reference: str) -> str | None:
        """The file that a path or address means: one of that path, else the only one of that name."""
        reference = reference.replace("\\", "/").partition("?")[0].removeprefix("./").lstrip("/")
        if reference in self._members:
            return reference
        if self._by_name is None:
            self._by_name = {}
            for name in self._members:
                last = PurePosixPath(name).name
                self._by_name[last] = None if last in self._by_name else name
        return self._by_name.get(PurePosixPath(reference).name)

    def read(self, name: str, limit: int) -> bytes:
        """A file of at most `limit` bytes.

        Raises:
            InvalidInput: it is not there, is larger, or is damaged.
        """
        if name not in self._members:
            raise InvalidInput("it is not in the archive")
        try:
            with self._zip.open(self._members[name]) as file:
                # However long it says to be.
                content = file.read(limit + 1)
        except _DAMAGE as error:
            raise InvalidInput(f"it is damaged: {str(error)[:100]}") from None
        if len(content) > limit:
            raise InvalidInput(f"it has more than {limit >> 20} MiB")
        return content

    def extract(self, name: str) -> Path:
        """A file as one on disk, beside the archive.

        Raises:
            InvalidData: it is damaged, or becomes too large.
        """
        target = self.path.with_name(f"{self.path.name}.{os.urandom(4).hex()}")
        try:
            with self._zip.open(self._members[name]) as packed, target.open("wb") as file:
                while chunk := packed.read(_CHUNK):
                    self._unpacked += len(chunk)
                    if self._unpacked > MAX_UNPACKED:
                        raise InvalidData(f"The archive unpacks to more than {MAX_UNPACKED >> 30} GiB.")
                    file.write(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise InvalidData(f"{name[:200]} is damaged: {str(error)[:100]}") from None
        return target


class ImageRows:
    """Rows with an image of an archive each, as many at a time as memory should hold.

    Args:
        columns: beside `image` and `name`.
    """

    untyped = False

    def __init__(self, archive: Archive, columns: Sequence[str]) -> None:
        self.archive = archive
        self.columns = ["image", "name", *columns]
        self.roles = {name: name for name in self.columns}

    def rows(self, problems: Problems) -> Iterator[tuple[str, str | None, dict[str, Any] | InvalidInput]]:
        """For each row what to call it, the path of its image (None: there is none), and its other columns."""
        raise NotImplementedError

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        rows: list[int] = []
        columns: dict[str, list[Any]] = {name: [] for name in wanted}
        size, numbers, number = 0, count(1), 0
        for name, path, others in self.rows(problems):
            number = next(numbers)
            try:
                if isinstance(others, InvalidInput):
                    raise others
                if path is None:
                    raise InvalidInput("its image is not in the archive")
                image = self.archive.read(path, MAX_IMAGE)
            except InvalidInput as error:
                problems.add(number, f"{name[:200]}: {error.message}")
                continue
            rows.append(number)
            size += len(image)
            row = {"image": image, "name": name, **others}
            for column, cells in columns.items():
                cells.append(row.get(column))
            if size > BATCH_BYTES or len(rows) >= BATCH_ROWS:
                yield Batch(rows, columns, number)
                rows, columns, size = [], {column: [] for column in wanted}, 0
        for name, reason in self.archive.refused:
            number = next(numbers)
            problems.add(number, f"{name[:200]}: {reason}")
        yield Batch(rows, columns, number)


class Chain:
    """The rows of several files one after the other, with the split that each of them is.

    Args:
        parts: readers with their split.
    """

    untyped = False

    def __init__(self, parts: Sequence[tuple[Any, str | None]]) -> None:
        self._parts = parts
        first = parts[0][0]
        self.columns = list(dict.fromkeys(name for reader, _ in parts for name in reader.columns))
        self.roles = dict(first.roles)
        self.untyped = all(reader.untyped for reader, _ in parts)
        self._split = ""
        if "split" not in self.columns and any(split is not None for _, split in parts):
            self._split = "split"
            self.columns.append(self._split)
            self.roles["split"] = self._split

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        before = 0
        for reader, split in self._parts:
            there = [name for name in wanted if name in reader.columns and name != self._split]
            of_part = Problems()
            read = 0
            for batch in reader.batches(there, of_part):
                columns = {
                    name: batch.columns[name]
                    if name in batch.columns
                    else [split if name == self._split else None] * len(batch.rows)
                    for name in wanted
                }
                read = batch.rows_read
                yield Batch([row + before for row in batch.rows], columns, before + read)
            problems.extend(of_part, before)
            before += read


def is_image(name: str) -> bool:
    """Whether a path is that of an image by its name."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def split_of(name: str) -> str | None:
    """The split that the first folder of a path tells which is named like one."""
    return next((SPLITS[part.lower()] for part in name.split("/")[:-1] if part.lower() in SPLITS), None)


class Zip:
    """A zip file that is being written."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True)

    def add(self, name: str, content: bytes | str, *, packed: bool = True) -> None:
        """Add a file; what is packed already, as images are, is stored as it is."""
        info = zipfile.ZipInfo(name)
        info.external_attr = 0o644 << 16
        self._zip.writestr(info, content, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)

    def add_pieces(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add a file that is too large for memory."""
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
        with self._zip.open(info, "w", force_zip64=True) as file:
            for piece in pieces:
                file.write(piece)

    def close(self) -> None:
        self._zip.close()


def pieces_of(path: Path) -> Iterator[bytes]:
    """The content of a file in pieces."""
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _announced(path: Path) -> int:
    """How many files the end of a zip file says that there are: the list of them is read as a whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - (1 << 16) - 22 - 20))
        tail = file.read()
        end = tail.rfind(b"PK\5\6")
        if end < 0:
            raise zipfile.BadZipFile
        found, length = struct.unpack_from("<HL", tail, end + 10)
        if found < 0xFFFF and length < 0xFFFFFFFF:
            # The list is read by its length, whatever its number.
            return int(max(found, length // _LIST_BYTES))
        (place,) = struct.unpack_from("<Q", tail, end - 20 + 8)
        file.seek(place)
        record = file.read(56)
        number, length = struct.unpack_from("<QQ", record, 32)
        return int(max(number, length // _LIST_BYTES))
