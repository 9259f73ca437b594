"""The rows of a file, checked and made into what can be stored as samples."""

import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from modelship_lab.bundles.preprocessing import category_name
from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.labeling import ImportOptions, Kind, Project
from modelship_lab.server.labeling.answers import Answer, Answers
from modelship_lab.server.labeling.formats.outgoing import OWN_COLUMNS
from modelship_lab.server.labeling.formats.rows import MAX_VALUE_CHARACTERS, Batch, Problems, Reader
from modelship_lab.server.labeling.images import CheckedImage, checked_image
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
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("name", pa.string()),
        ("group_name", pa.string()),
        ("split", pa.string()),
        ("label", pa.string()),
        ("content", pa.string()),
        ("classes", pa.list_(pa.string())),
        ("suggested", pa.string()),
        ("suggested_content", pa.string()),
        ("suggested_classes", pa.list_(pa.string())),
        ("confidence", pa.float64()),
    ]
)

TEXT_NAMES = ("text", "body", "content", "sentence", "review", "message")
IMAGE_NAMES = ("image", "img", "picture", "png", "jpg")

_IMAGE_THREADS = 2

_NUMBER = r"(?:[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[nN][aA][nN])?"
_NUMBERS = re.compile(rf"(?:{_NUMBER}\n)*")
_INTEGERS = re.compile(r"(?:(?:[+-]?(?:0|[1-9]\d{0,17}))?\n)*")

UNSURE = 0.5
"""The confidence of a prediction that comes without one."""

MAX_NAME = 500
"""Characters of a name, group or split."""

_SAYING = ("name", "group", "split")


def _exported(columns: Sequence[str], kind: Kind) -> dict[str, str]:
    """What the columns of a table are that a lab has written; nothing of others."""
    if not set(OWN_COLUMNS) <= set(columns):
        return {}
    roles = {"name": "name", "group": "group", "split": "split", "label": kind}
    roles |= {"prediction": "suggestion", "confidence": "confidence"} if "suggested_by" in columns else {}
    return {role: name for role, name in roles.items() if name in columns}


class Content(NamedTuple):
    """What is labeled, as it is stored."""

    content_hash: str
    text: str | None = None
    image: str | None = None
    fields: str | None = None
    width: int | None = None
    height: int | None = None


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
        self.rows_read = 0
        self._reader = reader
        self._exported = _exported(reader.columns, project.kind)
        self._blobs = blobs
        self._answers = Answers(project, options.separator)
        columns = {
            role: self._column(options, role) for role in (*_SAYING, "label", "prediction", "confidence")
        }
        self._columns = {role: name for role, name in columns.items() if name is not None}
        taken = {*self._columns.values(), *((*OWN_COLUMNS, "suggested_by") if self._exported else ())}
        others = [name for name in reader.columns if name not in taken]
        content = CONTENT_COLUMN[project.require_task()]
        if options.match == "name" and "name" not in self._columns:
            raise InvalidData(
                f"Which column holds the names? Say it with `name`. The columns are: {listed(reader.columns)}."
            )
        if options.match == "name" and not self._has_content(others, options, content):
            if project.kind == "spans":
                raise InvalidData("Spans are imported with the text that they lie in.")
            self._read = self._nothing
            self._content = []
        elif content == "text":
            self._read = self._texts
            self._content = [self._choose(others, options, "text", TEXT_NAMES)]
        elif content == "image":
            self._read = self._images
            self._content = [self._choose(others, options, "image", IMAGE_NAMES)]
            if "name" not in self._columns and "filename" in others:
                # It makes a problem easier to find, too.
                self._columns["name"] = "filename"
        else:
            self._read = self._fields
            self._content = [_require(reader, name) for name in options.features] or others
            if not self._content:
                raise InvalidData("The file has no column besides the label.")
        self._wanted = list(dict.fromkeys([*self._content, *self._columns.values()]))
        for name in self._wanted:
            if list(reader.columns).count(name) > 1:
                raise InvalidData(f"The file has the column '{name}' twice.")

    def _column(self, options: ImportOptions, role: str) -> str | None:
        named: str | None = getattr(options, role)
        if named is not None:
            return _require(self._reader, named)
        return self._reader.roles.get(role) or self._exported.get(role)

    def _has_content(self, others: Sequence[str], options: ImportOptions, content: str) -> bool:
        """Whether the rows tell what is labeled, and not only what it is called."""
        if content == "fields":
            return bool(options.features or others)
        usual = TEXT_NAMES if content == "text" else IMAGE_NAMES
        return self._column(options, content) is not None or any(name.lower() in usual for name in others)

    def _choose(self, others: Sequence[str], options: ImportOptions, role: str, usual: Sequence[str]) -> str:
        named = self._column(options, role)
        if named is not None:
            return named
        if len(others) == 1:
            return others[0]
        for name in others:
            if name.lower() in usual:
                return name
        raise InvalidData(
            f"Which column holds the {role}? Name it with `{role}`. "
            f"The columns are: {listed(self._reader.columns)}."
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Checked rows with the columns of `SCHEMA`; counts are complete at the end.

        Raises:
            InvalidData: the file is damaged from here on.
        """
        if self._read == self._fields and self._reader.untyped:
            self._kinds = self._number_kinds()
        for batch in self._reader.batches(self._wanted, self.bad):
            yield self._checked(batch)
            self.rows_read = batch.rows_read

    def _checked(self, batch: Batch) -> pa.RecordBatch:
        refused: dict[int, str] = {}
        """Positions in the batch, and why."""
        names, groups, splits = (self._said(batch, role, refused) for role in _SAYING)
        labels = self._answered(batch, "label", refused)
        predictions = self._answered(batch, "prediction", refused)
        confidences = self._confidences(batch, predictions, refused)
        # Images are stored on the way: those of rows that are refused anyway are not looked at.
        contents = self._read(batch, refused)
        for position in sorted(refused):
            self.bad.add(batch.rows[position], refused[position])
        columns = [
            batch.rows,
            *contents,
            names,
            groups,
            splits,
            *labels,
            *predictions,
            confidences,
        ]
        if refused:
            columns = [
                [value for position, value in enumerate(column) if position not in refused]
                for column in columns
            ]
        return pa.record_batch(
            [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)],
            schema=SCHEMA,
        )

    def _said(self, batch: Batch, role: str, refused: dict[int, str]) -> list[str | None]:
        column = self._columns.get(role)
        if column is None:
            return [None] * len(batch.rows)
        cells = batch.columns[column]
        if _are_storable(cells, MAX_NAME):
            return [cell or None for cell in cells]
        found: list[str | None] = []
        for position, cell in enumerate(cells):
            name = None
            try:
                name = category_name(cell) or None
                if name is not None and not _are_storable([name], MAX_NAME):
                    raise InvalidInput(
                        f"it has more than {MAX_NAME} characters, a NUL among them, or half of one"
                    )
            except InvalidInput as error:
                refused.setdefault(position, f"{role}: {error.message}")
            found.append(name)
        return found

    def _answered(self, batch: Batch, role: str, refused: dict[int, str]) -> list[Sequence[Any]]:
        """The columns of an `Answer`."""
        column = self._columns.get(role)
        if column is None:
            return _columns([None] * len(batch.rows), len(Answer._fields))
        cells = batch.columns[column]
        if (plain := self._answers.plain(cells)) is not None:
            return [plain, [None] * len(plain), [None] * len(plain)]
        texts: Sequence[Any] = batch.columns[self._content[0]] if self._read == self._texts else ()
        found: list[Answer | None] = []
        for position, cell in enumerate(cells):
            answer = None
            try:
                answer = self._answers.read(cell, texts[position] if texts else None)
            except InvalidInput as error:
                refused.setdefault(position, f"{role}: {error.message}")
            found.append(answer)
        return _columns(found, len(Answer._fields))

    def _confidences(
        self, batch: Batch, predictions: list[Sequence[Any]], refused: dict[int, str]
    ) -> list[float | None]:
        if "prediction" not in self._columns:
            return [None] * len(batch.rows)
        column = self._columns.get("confidence")
        cells: list[Any] = [None] * len(batch.rows) if column is None else batch.columns[column]
        found: list[float | None] = []
        labels, contents, _ = predictions
        for position, (cell, label, content) in enumerate(zip(cells, labels, contents, strict=True)):
            is_there = label is not None or content is not None
            sure = UNSURE if is_there else None
            if is_there and cell not in (None, ""):
                try:
                    sure = float(cell)
                except (TypeError, ValueError):
                    sure = math.nan
                if sure is None or not 0 <= sure <= 1:
                    refused.setdefault(position, "confidence: a number from 0 to 1 is expected")
            found.append(sure)
        return found

    # The columns of a `Content` for each row; the reasons of those that have none go to `refused`.

    def _nothing(self, batch: Batch, refused: dict[int, str]) -> list[Sequence[Any]]:
        for position, name in enumerate(self._said(batch, "name", {})):
            if name is None:
                refused.setdefault(position, "the name is missing")
        return _columns([None] * len(batch.rows), len(Content._fields))

    def _texts(self, batch: Batch, refused: dict[int, str]) -> list[Sequence[Any]]:
        cells = batch.columns[self._content[0]]
        if _are_storable(cells, MAX_VALUE_CHARACTERS) and all(map(str.strip, cells)):
            nothing = [None] * len(cells)
            return [[_hash(cell.encode()) for cell in cells], cells, nothing, nothing, nothing, nothing]
        found: list[Content | None] = []
        for position, value in enumerate(cells):
            if isinstance(value, list | tuple) and all(isinstance(token, str) for token in value):
                value = " ".join(value)
            reason = _text_problem(value)
            if reason:
                refused.setdefault(position, reason)
                found.append(None)
            else:
                found.append(Content(_hash(value.encode()), value))
        return _columns(found, len(Content._fields))

    def _images(self, batch: Batch, refused: dict[int, str]) -> list[Sequence[Any]]:
        def read(position: int) -> CheckedImage | InvalidInput:
            try:
                if position in refused:
                    raise InvalidInput(refused[position])
                return checked_image(cells[position])
            except InvalidInput as error:
                return error

        cells = batch.columns[self._content[0]]
        with ThreadPoolExecutor(_IMAGE_THREADS) as pool:
            images = list(pool.map(read, range(len(cells))))
        good = [image for image in images if isinstance(image, CheckedImage)]
        digests = iter(self._blobs.put_many([image.data for image in good]))
        column = self._columns.get("name")
        found: list[Content | None] = []
        for position, image in enumerate(images):
            if isinstance(image, CheckedImage):
                digest = next(digests)
                found.append(Content(digest, image=digest, width=image.width, height=image.height))
            else:
                name = batch.columns[column][position] if column else None
                refused[position] = f"{str(name)[:200]}: {image.message}" if name else image.message
                found.append(None)
        return _columns(found, len(Content._fields))

    def _fields(self, batch: Batch, refused: dict[int, str]) -> list[Sequence[Any]]:
        columns = [batch.columns[name] for name in self._content]
        found: list[Content | None] = []
        for position, values in enumerate(zip(*columns, strict=True)):
            try:
                fields = {
                    name: self._value(name, value) for name, value in zip(self._content, values, strict=True)
                }
                encoded = orjson.dumps(fields)
                if all(value is None for value in fields.values()):
                    raise InvalidInput("every value is missing")
                if len(encoded) > MAX_VALUE_CHARACTERS:
                    raise InvalidInput("the row has more than 1 million characters")
            except (InvalidInput, orjson.JSONEncodeError) as error:
                refused.setdefault(position, str(error))
                found.append(None)
            else:
                hashed = _hash(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS))
                found.append(Content(hashed, fields=encoded.decode()))
        return _columns(found, len(Content._fields))

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


def _are_storable(cells: Sequence[Any], most: int) -> bool:
    """Whether all cells are texts of at most so many characters, whole ones and no NUL among them."""
    try:
        return all(
            type(cell) is str and len(cell) <= most and "\0" not in cell and (cell.isascii() or cell.encode())
            for cell in cells
        )
    except UnicodeEncodeError:
        return False


def _columns(rows: Sequence[tuple[Any, ...] | None], width: int) -> list[Sequence[Any]]:
    """Tuples as columns; where there is none, nothing."""
    if not any(rows):
        return [[None] * len(rows)] * width
    nothing = (None,) * width
    return list(zip(*(nothing if row is None else row for row in rows), strict=True))


def _text_problem(value: Any) -> str:
    if not isinstance(value, str):
        return "the text is missing" if value is None else f"the text is a {type(value).__name__}, not a text"
    if not value or value.isspace():
        return "the text is empty"
    if len(value) > MAX_VALUE_CHARACTERS:
        return "the text has more than 1 million characters"
    if not _are_storable([value], MAX_VALUE_CHARACTERS):
        return "holds a NUL character, or half of one"
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
