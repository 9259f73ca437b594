"""JSON: one object on each line, or one list of objects."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from modelship_lab.records.errors import InvalidData
from modelship_lab.server.labeling.formats.outgoing import LabeledSample, Outgoing
from modelship_lab.server.labeling.formats.rows import BATCH_ROWS, NO_ROLES, Batch, Problems

MAX_LINE = 8 << 20
MAX_LIST = 512 << 20
"""Bytes of a list, which has to be read as a whole; lines have no such limit."""

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
        self._list = None if lines else _read_list(path)

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
        number = 0

        def batch() -> Batch:
            return Batch(rows, {name: [one.get(name) for one in objects] for name in wanted}, number)

        for number, row in self._objects(problems):
            if row is not None:
                rows.append(number)
                objects.append(row)
            if len(rows) >= BATCH_ROWS:
                yield batch()
                rows, objects = [], []
        yield batch()

    def _objects(self, problems: Problems) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Row numbers with their object, None where there is none that can be read."""
        if self._list is not None:
            for number, value in enumerate(self._list, 1):
                yield number, _object(number, value, problems)
            return
        with self._path.open("rb") as file:
            if file.read(len(_BOM)) != _BOM:
                file.seek(0)
            number = 0
            while line := file.readline(MAX_LINE):
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
        row = self._outgoing.row
        if self._lines:
            self._file.write(
                b"".join(orjson.dumps(row(one), option=orjson.OPT_APPEND_NEWLINE) for one in samples)
            )
            return
        for one in samples:
            self._file.write(self._between + orjson.dumps(row(one)))
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


def _read_list(path: Path) -> list[Any]:
    if path.stat().st_size > MAX_LIST:
        raise InvalidData(
            f"A JSON list of more than {MAX_LIST >> 20} MiB is not taken: use JSON lines, CSV or Parquet."
        )
    try:
        content = orjson.loads(path.read_bytes().removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise InvalidData(
            f"The file is not JSON: {error.msg} (line {error.lineno}, character {error.colno}). "
            "If it has one object on each line, the format is jsonl."
        ) from None
    if not isinstance(content, list):
        raise InvalidData("A list of objects is expected: [{…}, {…}].")
    if not content:
        raise InvalidData("The list is empty.")
    return content
