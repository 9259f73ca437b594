"""The rows of a file, checked and made into what can be stored as samples."""

import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from hashlib import blake2b
from typing import Any

import orjson
import pyarrow as pa

from modelship_lab.bundles.preprocessing import category_name
from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.labeling import ImportOptions, Project
from modelship_lab.server.labeling.formats.rows import MAX_VALUE_CHARACTERS, Batch, Problems, Reader
from modelship_lab.server.labeling.images import image_bytes
from modelship_lab.server.labeling.labels import listed
from modelship_lab.server.labeling.samples import CONTENT_COLUMN
from modelship_lab.server.storage.blobs import Blobs

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("content_hash", pa.string()),
        ("text", pa.string()),
        ("image", pa.string()),
        ("fields", pa.string()),
        ("label", pa.string()),
    ]
)

TEXT_NAMES = ("text", "body", "content", "sentence", "review", "message")
IMAGE_NAMES = ("image", "img", "picture", "png", "jpg")

_IMAGE_THREADS = 2

_NUMBER = r"(?:[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[nN][aA][nN])?"
_NUMBERS = re.compile(rf"(?:{_NUMBER}\n)*")
_INTEGERS = re.compile(r"(?:(?:[+-]?(?:0|[1-9]\d{0,17}))?\n)*")

Content = tuple[str, str | None, str | None, str | None]
"""Content hash, text, image, fields."""


class Candidates:
    """Samples to be from the rows of a file.

    Args:
        project: what they are for.
        options: which columns are what.
        reader: the file.
        blobs: where images go.

    Raises:
        InvalidData: the file lacks a column; the message names those that it has.
    """

    def __init__(self, project: Project, options: ImportOptions, reader: Reader, blobs: Blobs) -> None:
        self.bad = Problems()
        self.duplicates = Problems()
        self.rows_read = 0
        self._reader = reader
        self._blobs = blobs
        self._classes = frozenset(project.classes)
        self._listed = listed(project.classes)
        self._seen: dict[str, int] = {}
        self._label = None if options.label is None else _require(reader, options.label)
        others = [name for name in reader.columns if name != self._label]
        content = CONTENT_COLUMN[project.require_task()]
        if content == "text":
            self._read = self._texts
            self._content = [_choose(reader, others, options.text, TEXT_NAMES, "text")]
        elif content == "image":
            self._read = self._images
            self._content = [_choose(reader, others, options.image, IMAGE_NAMES, "image")]
        else:
            self._read = self._fields
            self._content = [_require(reader, name) for name in options.features] or others
            if not self._content:
                raise InvalidData("The file has no column besides the label.")
        # An image's file name makes its problem easier to find.
        self._names = ["filename"] if self._read == self._images and "filename" in others else []
        extra = [] if self._label is None else [self._label]
        self._wanted = list(dict.fromkeys(self._content + extra + self._names))
        for name in self._wanted:
            if list(reader.columns).count(name) > 1:
                raise InvalidData(f"The file has the column '{name}' twice.")

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Checked rows with the columns of `SCHEMA`, no content twice; counts are complete at the end.

        Raises:
            InvalidData: the file is damaged from here on.
        """
        if self._read == self._fields and self._reader.untyped:
            self._kinds = self._number_kinds()
        for batch in self._reader.batches(self._wanted, self.bad):
            labels = self._labels(batch)
            kept = []
            for row, content, label in zip(batch.rows, self._read(batch), labels, strict=True):
                if content is None or label is False:
                    continue
                first = self._seen.setdefault(content[0], row)
                if first != row:
                    self.duplicates.add(row, f"duplicate of an earlier row: row {first}")
                else:
                    kept.append((row, *content, label))
            self.rows_read = batch.rows_read
            columns = list(zip(*kept, strict=True)) or [()] * len(SCHEMA)
            yield pa.record_batch(
                [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)],
                schema=SCHEMA,
            )

    def _labels(self, batch: Batch) -> list[str | bool | None]:
        """A class, None without a label, False for a row whose label is no class."""
        if self._label is None:
            return [None] * len(batch.rows)
        result: list[str | bool | None] = []
        for row, value in zip(batch.rows, batch.columns[self._label], strict=True):
            try:
                name = (category_name(value) or "").strip() or None
            except InvalidInput as error:
                self.bad.add(row, f"label: {error.message}")
                result.append(False)
                continue
            if name is not None and name not in self._classes:
                self.bad.add(
                    row, f"label '{name[:100]}' is not a class of this project; classes: {self._listed}"
                )
                result.append(False)
            else:
                result.append(name)
        return result

    def _texts(self, batch: Batch) -> Iterator[Content | None]:
        for row, value in zip(batch.rows, batch.columns[self._content[0]], strict=True):
            reason = _text_problem(value)
            if reason:
                self.bad.add(row, reason)
                yield None
            else:
                yield _hash(value.encode()), value, None, None

    def _images(self, batch: Batch) -> Iterator[Content | None]:
        def read(value: Any) -> bytes | InvalidInput:
            try:
                return image_bytes(value)
            except InvalidInput as error:
                return error

        with ThreadPoolExecutor(_IMAGE_THREADS) as pool:
            images = list(pool.map(read, batch.columns[self._content[0]]))
        digests = iter(self._blobs.put_many([image for image in images if isinstance(image, bytes)]))
        names = batch.columns[self._names[0]] if self._names else [None] * len(images)
        for row, image, name in zip(batch.rows, images, names, strict=True):
            if isinstance(image, bytes):
                digest = next(digests)
                yield digest, None, digest, None
            else:
                self.bad.add(row, f"{str(name)[:200]}: {image.message}" if name else image.message)
                yield None

    def _fields(self, batch: Batch) -> Iterator[Content | None]:
        columns = [batch.columns[name] for name in self._content]
        for row, *values in zip(batch.rows, *columns, strict=True):
            try:
                fields = {
                    name: self._value(name, value) for name, value in zip(self._content, values, strict=True)
                }
                encoded = orjson.dumps(fields)
            except (InvalidInput, orjson.JSONEncodeError) as error:
                self.bad.add(row, str(error))
                yield None
                continue
            if all(value is None for value in fields.values()):
                self.bad.add(row, "every value is missing")
                yield None
            elif len(encoded) > MAX_VALUE_CHARACTERS:
                self.bad.add(row, "the row has more than 1 million characters")
                yield None
            else:
                yield _hash(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)), None, None, encoded.decode()

    def _value(self, name: str, value: Any) -> str | int | float | bool | None:
        if self._reader.untyped:
            value = value.strip()
            kind = self._kinds.get(name)
            if not value or (kind and value.lower() == "nan"):
                return None
            value = kind(value) if kind else value
        return _plain(name, value)

    def _number_kinds(self) -> dict[str, type[int] | type[float]]:
        """The columns of a file of texts that hold nothing but numbers; codes such as `007` are none."""
        kinds: dict[str, type[int] | type[float]] = dict.fromkeys(self._content, int)
        for batch in self._reader.batches(self._content, Problems()):
            for name in list(kinds):
                values = batch.columns[name]
                lines = "".join(f"{value.strip()}\n" for value in values)
                if lines.count("\n") != len(values) or not _NUMBERS.fullmatch(lines):
                    del kinds[name]
                elif kinds[name] is int and not _INTEGERS.fullmatch(lines):
                    kinds[name] = float
        return kinds


def _text_problem(value: Any) -> str:
    if not isinstance(value, str):
        return "the text is missing" if value is None else f"the text is a {type(value).__name__}, not a text"
    if not value or value.isspace():
        return "the text is empty"
    if len(value) > MAX_VALUE_CHARACTERS:
        return "the text has more than 1 million characters"
    if "\0" in value:
        return "holds a NUL character"
    return ""


def _plain(name: str, value: Any) -> str | int | float | bool | None:
    """A value as JSON has it; not a number means missing."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidInput(f"column '{name}' holds a NUL character")
        return value or None
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise InvalidInput(f"column '{name}' holds a {type(value).__name__}; a text or a number is expected")


def _hash(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _require(reader: Reader, name: str) -> str:
    if name in reader.columns:
        return name
    close = get_close_matches(name, reader.columns, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise InvalidData(
        f"The file has no column '{name[:200]}'.{hint} Its columns are: {listed(reader.columns)}."
    )


def _choose(
    reader: Reader, others: Sequence[str], named: str | None, usual: Sequence[str], option: str
) -> str:
    if named is not None:
        return _require(reader, named)
    if len(others) == 1:
        return others[0]
    for name in others:
        if name.lower() in usual:
            return name
    raise InvalidData(
        f"Which column holds the {option}? Name it with `{option}`. The columns are: {listed(reader.columns)}."
    )
