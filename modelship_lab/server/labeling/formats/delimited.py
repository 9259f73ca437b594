"""CSV and TSV, row by row, so that a bad row is one bad row."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, BinaryIO

import orjson
import pyarrow as pa

from modelship_lab.records.errors import InvalidData
from modelship_lab.records.labeling import SEPARATOR
from modelship_lab.server.labeling.formats.outgoing import LabeledSample, Outgoing
from modelship_lab.server.labeling.formats.rows import (
    BATCH_BYTES,
    BATCH_ROWS,
    MAX_VALUE_CHARACTERS,
    NO_ROLES,
    Batch,
    Problems,
)

MAX_LINE = 8 << 20
"""Characters of one line that are held in memory; the rest of a longer one is skipped."""

_DELIMITERS = ",;\t|"


class DelimitedReader:
    """A UTF-8 file with a header and a delimiter between values; quotes as in RFC 4180.

    Args:
        path: the file.
        delimiter: None finds it in the header: the commonest of comma, semicolon, tab and bar.

    Raises:
        InvalidData: there is no header, or a column's name stands twice.
    """

    untyped = True
    roles = NO_ROLES

    def __init__(self, path: Path, delimiter: str | None) -> None:
        self._path = path
        csv.field_size_limit(MAX_VALUE_CHARACTERS)
        with self._open() as file:
            header_line = file.readline(MAX_LINE).strip("\r\n")
        if not header_line.strip():
            raise InvalidData("The file has no header: its first line is empty.")
        self._delimiter = delimiter or max(_DELIMITERS, key=header_line.count)
        with self._open() as file:
            try:
                header = next(csv.reader(_Lines(file), delimiter=self._delimiter, strict=True))
            except (csv.Error, StopIteration) as error:
                raise InvalidData(f"The header cannot be read: {error}.") from None
        # A frame written with its index has a column without a name.
        self.columns = [name.strip() or f"column_{position}" for position, name in enumerate(header, 1)]
        if len(set(self.columns)) < len(self.columns):
            twice = next(name for name in self.columns if self.columns.count(name) > 1)
            raise InvalidData(f"The header names the column '{twice[:200]}' twice.")
        unreadable = next((name for name in self.columns if not _is_unicode(name)), None)
        if unreadable is not None:
            raise InvalidData(
                "The header is not UTF-8. Name the file's encoding with `encoding`, e.g. latin-1."
            )

    def _open(self) -> IO[str]:
        return _as_text(self._path.open("rb"))

    def batches(self, wanted: Sequence[str], problems: Problems) -> Iterator[Batch]:
        positions = [self.columns.index(name) for name in wanted]
        width, number, before = len(self.columns), 0, 0
        rows: list[int] = []
        values: list[list[str]] = []

        def batch() -> Batch:
            kept = _without_bad_text(rows, values, problems)
            columns = {
                name: [value[at] for value in values] for name, at in zip(wanted, positions, strict=True)
            }
            return Batch(kept, columns, number)

        with self._path.open("rb") as raw, _as_text(raw) as file:
            # Lines that need no watching are handed over four times as fast.
            lines = _Lines(file) if _has_long_lines(self._path) else None
            reader = csv.reader(lines or file, delimiter=self._delimiter, strict=True)
            next(reader)
            while True:
                try:
                    value = next(reader)
                except StopIteration:
                    break
                except csv.Error as error:
                    number += 1
                    problems.add(number, _reason(error))
                    if lines is not None:
                        lines.too_long = False
                    continue
                if not value:
                    continue
                number += 1
                if lines is not None and lines.too_long:
                    lines.too_long = False
                    problems.add(
                        number, f"a line of this row has more than {MAX_LINE >> 20} million characters"
                    )
                elif len(value) != width:
                    problems.add(number, f"{_columns(width)} expected, {len(value)} found")
                else:
                    rows.append(number)
                    values.append(value)
                if len(rows) >= BATCH_ROWS or (not len(rows) % 16 and raw.tell() > before + BATCH_BYTES):
                    yield batch()
                    rows, values, before = [], [], raw.tell()
        yield batch()


def _as_text(raw: BinaryIO) -> TextIOWrapper:
    # What is not UTF-8 comes as half surrogates, which are found row by row.
    return TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _has_long_lines(path: Path) -> bool:
    """Whether a line may be longer than `MAX_LINE`."""
    length = 0
    with path.open("rb") as file:
        while chunk := file.read(MAX_LINE // 2):
            first = chunk.find(b"\n")
            length += len(chunk) if first < 0 else first
            if length > MAX_LINE // 2:
                return True
            if first >= 0:
                length = len(chunk) - chunk.rfind(b"\n") - 1
    return False


class _Lines:
    """The lines of a file, each cut at a length that memory can hold."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.too_long = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE)
        if not line:
            raise StopIteration
        if len(line) == MAX_LINE and line[-1] not in "\r\n":
            self.too_long = True
            while (rest := self._file.readline(MAX_LINE)) and rest[-1] not in "\r\n":
                pass
        return line


class DelimitedWriter:
    """A UTF-8 file with a header. Several classes stand in one cell with a bar between them.

    Where a class has a bar in its name, and for spans and boxes, the cell is a list as JSON; so is one that says
    that no class applies, since an empty cell says that nothing was decided.
    """

    def __init__(self, path: Path, outgoing: Outgoing, delimiter: str) -> None:
        self._outgoing = outgoing
        self._joined = outgoing.kind == "labels" and not any(
            SEPARATOR in name for name in outgoing.project.classes
        )
        self._file = path.open("w", encoding="utf-8", newline="")
        self._delimiter = delimiter
        self._writer = csv.writer(self._file, delimiter=delimiter)
        self._writer.writerow(outgoing.schema.names)

    def write(self, samples: Sequence[LabeledSample]) -> None:
        self.write_rows(self._outgoing.row(sample) for sample in samples)

    def write_rows(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows as `Outgoing.row` makes them."""
        if self._outgoing.kind == "label":
            # There are no lists in them.
            self._writer.writerows(row.values() for row in rows)
        else:
            self._writer.writerows([self._cell(cell) for cell in row.values()] for row in rows)

    def write_table(self, samples: pa.Table) -> None:
        """`write` for a table with the columns of `Outgoing.schema`."""
        # Not at the top: it is loaded for a tenth of a second, and most servers start without an export.
        import polars as pl

        for place, field in enumerate(samples.schema):
            if pa.types.is_list(field.type):
                cells = map(self._cell, samples[place].to_pylist())
                samples = samples.set_column(place, field.name, pa.array(cells, pa.string()))
        texts = pl.col(pl.String)
        frame = pl.DataFrame(samples).with_columns(pl.when(texts != "").then(texts))
        self._file.write(
            frame.write_csv(include_header=False, separator=self._delimiter, line_terminator="\r\n")
        )

    def _cell(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if self._joined and value:
            return SEPARATOR.join(value)
        return orjson.dumps(value).decode()

    def close(self) -> None:
        self._file.close()


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _reason(error: csv.Error) -> str:
    text = str(error)
    if "field larger" in text:
        return "a value is longer than 1 million characters, or a quote in this row is never closed"
    if "unexpected end" in text:
        return "a quote that is opened in this row is never closed; the rest of the file was not read"
    return f"quotes: {text}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_bad_text(rows: list[int], values: list[list[str]], problems: Problems) -> list[int]:
    """Take out the rows that are not UTF-8 or hold a NUL; the numbers of those that stay."""
    if all(
        "\0" not in (text := "".join(value)) and (text.isascii() or _is_unicode(text)) for value in values
    ):
        return rows
    kept = []
    good = []
    for number, value in zip(rows, values, strict=True):
        text = "".join(value)
        if "\0" in text:
            problems.add(number, "holds a NUL character")
        elif not _is_unicode(text):
            byte = next(ord(char) & 0xFF for char in text if 0xDC80 <= ord(char) <= 0xDCFF)
            problems.add(
                number,
                f"encoding: the byte 0x{byte:02x} is not UTF-8; name the file's encoding with `encoding`",
            )
        else:
            kept.append(number)
            good.append(value)
    values[:] = good
    return kept
