"""JSON: one object on each line, or one list of objects."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import ijson
import numpy as np
import orjson
import pyarrow as pa

from modelship_lab.records.errors import InvalidData
from modelship_lab.server.labeling.formats.outgoing import LabeledSample, Outgoing
from modelship_lab.server.labeling.formats.rows import BATCH_BYTES, BATCH_ROWS, NO_ROLES, Batch, Problems

MAX_LINE = 8 << 20
MAX_ELEMENT = MAX_LINE
"""Bytes of one element of a list, about."""

MAX_DEPTH = 64

_CHUNK = 1 << 18
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

_BOM = b"\xef\xbb\xbf"


class JsonReader:
    """Objects of a UTF-8 file; a key that an object lacks is a missing value.

    Args:
        path: the file.
        lines: one object on each line; else the file is one list of objects.

    Raises:
        InvalidData: the file is not a list of objects.
    """

    untyped = False
    roles = NO_ROLES

    def __init__(self, path: Path, *, lines: bool) -> None:
        self._path = path
        self._lines = lines
        self._position = 0
        if not lines:
            _require_list(path)

    @cached_property
    def columns(self) -> list[str]:
        """Every key that occurs, in the order of first occurrence."""
        names: dict[str, None] = {}
        for _, row in self._objects(Problems()):
            if row is not None:
                names.update(dict.fromkeys(row))
        if not names:
            raise InvalidData("The file has no JSON object in it.")
        return list(names)

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        rows: list[int] = []
        objects: list[dict[str, Any]] = []
        number, before = 0, 0

        def batch() -> Batch:
            return Batch(rows, {name: [one.get(name) for one in objects] for name in wanted}, number)

        for number, row in self._objects(problems):
            if row is not None:
                rows.append(number)
                objects.append(row)
            if len(rows) >= BATCH_ROWS or self._position > before + BATCH_BYTES:
                yield batch()
                rows, objects, before = [], [], self._position
        yield batch()

    def _objects(self, problems: Problems) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Row numbers with their object, None where there is none that can be read."""
        if not self._lines:
            elements = Elements(self._path, "item")
            for number, value in enumerate(elements, 1):
                self._position = elements.position
                yield number, _object(number, value, problems)
            return
        with self._path.open("rb") as file:
            if file.read(len(_BOM)) != _BOM:
                file.seek(0)
            number = self._position = 0
            while line := file.readline(MAX_LINE):
                self._position += len(line)
                if len(line) == MAX_LINE and not line.endswith(b"\n"):
                    while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                        pass
                    number += 1
                    problems.add(number, f"the line has more than {MAX_LINE >> 20} million bytes")
                    yield number, None
                elif line.strip():
                    number += 1
                    try:
                        value = orjson.loads(line)
                    except orjson.JSONDecodeError as error:
                        problems.add(number, _reason(line, error))
                        yield number, None
                    else:
                        yield number, _object(number, value, problems)


class JsonWriter:
    """One object for each sample; on a line of its own each, or in a list."""

    def __init__(self, path: Path, outgoing: Outgoing, *, lines: bool) -> None:
        self._outgoing = outgoing
        self._lines = lines
        self._file = path.open("wb")
        self._between = b"\n" if lines else b"[\n"

    def write(self, samples: Sequence[LabeledSample]) -> None:
        self.write_rows(self._outgoing.row(sample) for sample in samples)

    def write_rows(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append objects, as `Outgoing.row` makes them or others."""
        if self._lines:
            self._file.write(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
            return
        for row in rows:
            self._file.write(self._between + orjson.dumps(row))
            self._between = b",\n"

    def write_table(self, samples: pa.Table) -> None:
        """`write` for a table with the columns of `Outgoing.schema`."""
        # Not at the top: it is loaded for a tenth of a second, and most servers start without an export.
        import polars as pl

        sink = BytesIO()
        pl.DataFrame(samples).write_ndjson(sink)
        if self._lines:
            self._file.write(sink.getbuffer())
            return
        # Within the values every end of a line is written as \\n.
        self._file.write(self._between + sink.getvalue()[:-1].replace(b"\n", b",\n"))
        self._between = b",\n"

    def close(self) -> None:
        with self._file:
            if not self._lines:
                self._file.write(b"[]\n" if self._between == b"[\n" else b"\n]\n")


def _reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as wrong:
        byte = line[wrong.start]
        return f"encoding: the byte 0x{byte:02x} is not UTF-8; name the file's encoding with `encoding`"
    return f"not JSON: {error.msg}, at character {error.pos + 1}"


def _object(number: int, value: Any, problems: Problems) -> dict[str, Any] | None:
    if isinstance(value, dict):
        return value
    problems.add(number, "not a JSON object: {…} with a value for each column is expected")
    return None


def items_of(path: Path, prefix: str) -> Iterator[Any]:
    """`Elements`, for those who need not know where they are."""
    return iter(Elements(path, prefix))


class Elements:
    """The elements of a list in a JSON file one after the other.

    Args:
        prefix: which list: `item` is the outermost one, `images.item` that of an object's field `images`.
    """

    def __init__(self, path: Path, prefix: str) -> None:
        self._path, self._prefix = path, prefix
        self.position = 0
        """How far the file was read."""

    def __iter__(self) -> Iterator[Any]:
        """
        Raises:
            InvalidData: the file is damaged from here on, or an element is larger than memory should hold.
        """
        with self._path.open("rb") as file:
            guarded = _Guarded(file, self._prefix.count(".") + 1)
            try:
                for item in ijson.items(guarded, self._prefix, use_float=True, buf_size=_CHUNK):
                    self.position = file.tell()
                    yield item
            except (ijson.JSONError, UnicodeDecodeError) as error:
                reason = str(error).splitlines()[0][:200] if str(error) else "it ends too early"
                raise InvalidData(
                    f"The file is not JSON, or it is incomplete: {reason}. "
                    "If it has one object on each line, the format is jsonl."
                ) from None


class _Guarded:
    """A file that is not read any further when a single element, or a single text, becomes too large or too deep.

    A parser holds such a thing in memory as a whole, with the way to every level of it.

    Args:
        level: how many lists and objects are open around an element.
    """

    def __init__(self, file: BinaryIO, level: int) -> None:
        self._file = file
        self._level = level
        if file.read(len(_BOM)) != _BOM:
            file.seek(0)
        self._depth = 0
        self._size = 0
        """Bytes since an element began, or a text."""
        self._open = b""
        """The beginning of a text that goes on in what is read next."""

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        outside = _TEXT.sub(b"", self._open + chunk)
        outside, quote, text = outside.partition(b'"')
        # An odd number of backslashes at the end leaves the next character without a meaning.
        self._open = quote + b"\\" * ((len(text) - len(text.rstrip(b"\\"))) % 2)
        codes = np.frombuffer(outside, np.uint8) | 0x20
        depths = self._depth + np.cumsum((codes == ord("{")).astype(np.int32) - (codes == ord("}")))
        if len(depths):
            self._depth = int(depths[-1])
        if len(depths) and depths.min() <= self._level:
            self._size = 0
        self._size += len(chunk)
        if self._size > MAX_ELEMENT or (len(depths) and depths.max() > MAX_DEPTH):
            raise InvalidData(
                f"A text or an element of the JSON file has more than {MAX_ELEMENT >> 20} million characters, or is "
                f"nested more than {MAX_DEPTH} deep."
            )
        return chunk


def starts_with(path: Path) -> str:
    """The event with which a JSON file begins: `start_array`, `start_map`, or that of a single value.

    Raises:
        InvalidData: it is no JSON.
    """
    with path.open("rb") as file:
        try:
            return str(next(iter(ijson.basic_parse(_Guarded(file, 1), buf_size=_CHUNK)))[0])
        except (ijson.JSONError, StopIteration, UnicodeDecodeError) as error:
            raise InvalidData(
                f"The file is not JSON: {str(error).splitlines()[0][:200] if str(error) else 'it is empty'}."
            ) from None


def _require_list(path: Path) -> None:
    if starts_with(path) != "start_array":
        raise InvalidData("A list of objects is expected: [{…}, {…}].")
    if next(items_of(path, "item"), None) is None:
        raise InvalidData("The list is empty.")
