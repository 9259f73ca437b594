"""An uploaded text file made readable: unpacked, and in UTF-8."""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from modelship_lab.records.errors import InvalidData, InvalidInput

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"

MAX_UNPACKED = 32 << 30
"""A compressed file may not become larger than this on disk."""


def require_encoding(name: str) -> str:
    """The standard name of an encoding of texts.

    Raises:
        InvalidInput: there is none of this name.
    """
    try:
        found = codecs.lookup(name)
        # Some codecs make bytes of bytes; they are no encodings of texts.
        if not found._is_text_encoding:
            raise LookupError(name)
    except (LookupError, ValueError):
        raise InvalidInput(
            f"There is no encoding '{name[:100]}'. Common ones are utf-8, utf-16, latin-1 and cp1252.",
            [{"field": "encoding", "reason": "is not known"}],
        ) from None
    return found.name


def prepare(path: Path, encoding: str) -> Path:
    """A file beside `path`, or `path` itself, that is not compressed and in UTF-8.

    A file that is said to be UTF-8 is left as it is: its readers find the rows that are not.

    Raises:
        InvalidData: it is empty, binary, damaged, or not in this encoding.
    """
    with path.open("rb") as file:
        start = file.read(8192)
    if start[:2] == _GZIP:
        path = _unpack(path)
        with path.open("rb") as file:
            start = file.read(8192)
    if not start:
        raise InvalidData("The file is empty.")
    name = require_encoding(encoding)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        name = "utf-16"
    if name not in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be") and _is_binary(
        start
    ):
        raise InvalidData("The file is not a text file: it holds binary data. Check the file and the format.")
    if name in ("utf-8", "utf-8-sig", "ascii"):
        return path
    return _transcode(path, name)


def _is_binary(start: bytes) -> bool:
    """One stray NUL makes a bad row, many or control characters a file of another kind."""
    control = sum(1 for byte in start if byte < 9 or 13 < byte < 27 or 27 < byte < 32)
    return control > max(8, len(start) // 100) or (len(start) < 800 and start.count(0) > len(start) // 10)


def _unpack(path: Path) -> Path:
    target = path.with_name(f"{path.name}.unpacked")
    size = 0
    try:
        with gzip.open(path, "rb") as packed, target.open("wb") as file:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                if size > MAX_UNPACKED:
                    raise InvalidData(f"The file unpacks to more than {MAX_UNPACKED >> 30} GiB.")
                file.write(chunk)
    except (EOFError, OSError, zlib.error) as error:
        raise InvalidData(f"The file is a damaged or incomplete gzip file: {error}") from None
    return target


def _transcode(path: Path, encoding: str) -> Path:
    target = path.with_name(f"{path.name}.utf8")
    position = 0
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        with target.open("wb") as file:
            for chunk, last in _chunks(path):
                file.write(decoder.decode(chunk, final=last).encode())
                position += len(chunk)
    except UnicodeError as error:
        at = position + getattr(error, "start", 0)
        raise InvalidData(
            f"The file is not in the encoding {encoding}: it cannot be read at about byte {at}. "
            "Name the right one with `encoding`."
        ) from None
    return target


def _chunks(path: Path) -> Iterator[tuple[bytes, bool]]:
    with path.open("rb") as file:
        chunk = file.read(_CHUNK)
        while chunk:
            following = file.read(_CHUNK)
            yield chunk, not following
            chunk = following
