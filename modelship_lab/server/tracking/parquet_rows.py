"""Rows of Parquet files that somebody sent: read in pieces, so that a hostile one cannot fill the memory."""

import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from modelship_lab.records.artifacts import TableRows
from modelship_lab.records.errors import InvalidData
from modelship_lab.server.tracking import parquet_pages

MAX_COLUMNS = 1000

MAX_GROUP_BYTES = 256 << 20
"""Of a row group, uncompressed."""

MAX_GROUP_VALUES = 20_000_000
"""Rows of a row group, and values in lists beyond them: repeated ones take no bytes in the file, and time to be
skipped."""

MAX_CELL = 2000
"""Characters of one cell; what is longer is cut."""

MAX_ANSWER = 8 << 20
"""Characters of all cells; there are fewer rows then than were asked for."""

_BATCH_ROWS = 256


def require_parquet(path: Path) -> None:
    """Refuse what is no Parquet file.

    Raises:
        InvalidData: it is none, or has too many columns.
    """
    with _opened(path):
        pass


def parquet_rows(path: Path, limit: int, offset: int) -> TableRows:
    """Rows of a Parquet file, with cells that JSON can hold.

    Raises:
        InvalidData: it is no Parquet file, or one whose pieces are too large to be looked into.
    """
    with _opened(path) as file:
        names = tuple(file.schema_arrow.names)
        rows: list[tuple[Any, ...]] = []
        size = 0
        try:
            for row in _cells(path, file, offset, limit):
                size += sum(len(cell) if isinstance(cell, str) else 8 for cell in row)
                if rows and size > MAX_ANSWER:
                    break
                rows.append(row)
        except (pa.ArrowException, OSError, MemoryError) as error:
            raise InvalidData("The table is damaged: its rows cannot be read.") from error
        return TableRows(columns=names, rows=tuple(rows), total=file.metadata.num_rows)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
        texts = [
            field.name
            for field in file.schema_arrow
            if pa.types.is_string(field.type) or pa.types.is_binary(field.type)
        ]
        if texts:
            # One long text that stands in a million rows is in memory once.
            file.close()
            file = pq.ParquetFile(path, read_dictionary=texts)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidData("A table is a Parquet file, and this is none.") from error
    if len(file.schema_arrow.names) > MAX_COLUMNS:
        file.close()
        raise InvalidData(f"A table has at most {MAX_COLUMNS} columns.")
    return file


def _cells(path: Path, file: pq.ParquetFile, offset: int, limit: int) -> Iterator[tuple[Any, ...]]:
    """The rows from `offset` on; only the row groups that hold them are read."""
    before = 0
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        skip, before = max(offset - before, 0), before + group.num_rows
        if skip >= group.num_rows:
            continue
        if limit <= 0:
            return
        _require_small(path, group)
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[number], use_threads=False):
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            part = batch.slice(skip, limit)
            skip = 0
            yield from zip(*(_column(column) for column in part.columns), strict=True)
            limit -= part.num_rows
            if limit <= 0:
                return


def _require_small(path: Path, group: pq.RowGroupMetaData) -> None:
    try:
        size, repeated = parquet_pages.weight(path, group)
    except ValueError as error:
        raise InvalidData("The table is damaged: its rows cannot be read.") from error
    if size > MAX_GROUP_BYTES or max(group.num_rows, repeated) > MAX_GROUP_VALUES:
        raise InvalidData(
            "The table is too large to be looked into here: write it in smaller row groups, or download it."
        )


def _column(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        words = [_cell(value) for value in column.dictionary.to_pylist()]
        return [None if index is None else words[index] for index in column.indices.to_pylist()]
    return [_cell(value) for value in column.to_pylist()]


def _cell(value: Any) -> Any:
    """A value as JSON has it: times in ISO, bytes by their number, containers as their JSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # A page reads numbers with 53 bits.
        return value if abs(value) < 1 << 53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta | Decimal):
        return str(value)
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}…"
