"""What is committed as one line of a file, and moved to its tables together with what came meanwhile.

A statement costs DuckDB half a millisecond to two however little it writes, a commit as much again, and each table that
it touches adds to that. A small thing that happens often, as a decision about a sample does, is rows of three tables;
written there one by one they would take most of the time of whoever waits for them. So they are put here: one line
beside the database, whoever is in the group. They are in the tables before anybody reads these. What was left when the
file was closed is there again when it is opened, and a row that its table refuses is set aside in `refused_rows`.

Lines are numbered. The table `journal` has the number of the last one that is in the tables, so that none is moved
twice, and what of the lines up to it could not be moved yet.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import orjson
import pyarrow as pa

from modelship_lab.records.errors import StorageFailed
from modelship_lab.server.storage.append_log import AppendLog
from modelship_lab.server.storage.data_dir import as_storage_failed

log = logging.getLogger(__name__)

RESERVED = 256
"""Ids that are taken from a sequence at once."""

Key = int | str


class Put(NamedTuple):
    """A row on its way to a table."""

    column: str
    """Which it is found by."""
    row: Mapping[str, Any]
    replaces: bool
    """Whether there may be an earlier one with the same value in that column, which goes."""


Rows = dict[str, dict[Key, Put]]
"""By table and key."""

Attempt = Callable[[Callable[[duckdb.DuckDBPyConnection], None]], Exception | None]


class Journal:
    """What is on disk and not in its tables yet, and ids that are taken already. For the writer thread.

    Args:
        path: its file; made if it is not there.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.rows: Rows = {}
        self.reserved: dict[str, deque[int]] = {}
        self.refused = 0
        """Rows that were set aside, since there is this file."""
        self._last = 0
        self._lines = AppendLog(path)

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))

    def load(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Know what is on disk and nothing else: what an earlier process has left, or a connection that broke."""
        left: Rows = {}
        for self._last, content in connection.execute("SELECT id, rows FROM journal ORDER BY id").fetchall():
            _place_all(left, orjson.loads(content))
        for line in self._lines.records():
            number, content = orjson.loads(line)
            if number > self._last:
                self._last = number
                _place_all(left, content)
        self.rows = left
        self.reserved.clear()
        ((self.refused,),) = connection.execute("SELECT count(*) FROM refused_rows").fetchall()

    def append(self, rows: Rows) -> None:
        """Have rows on disk.

        Raises:
            StorageFailed: they are not, because the disk is full or broken.
        """
        self._last += 1
        try:
            self._lines.append(orjson.dumps([self._last, _content(rows)]))
        except OSError as error:
            raise as_storage_failed(error) or StorageFailed(
                f"The disk did not take this: {error.strerror}. Nothing of this request was stored."
            ) from error
        merge(self.rows, rows)

    def mark(self, connection: duckdb.DuckDBPyConnection, rest: Rows | None = None) -> None:
        """Note in the database that all rows but these are in their tables."""
        connection.execute("DELETE FROM journal").fetchall()
        connection.execute(
            "INSERT INTO journal VALUES (?, ?)", [self._last, orjson.dumps(_content(rest or {})).decode()]
        ).fetchall()

    def moved(self, rest: Rows | None = None) -> None:
        """The commit of what `mark` noted was made."""
        self.rows = rest or {}
        self._lines.clear()

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()

    def settle_in_parts(self, attempt: Attempt) -> bool:
        """Move all rows but those that are refused, which are set aside.

        Args:
            attempt: runs what it is given in a transaction of its own, and returns what went wrong.

        Returns:
            Whether nothing is left in the journal; otherwise the database takes nothing at the moment.
        """
        parts = deque([[(table, put) for table, placed in self.rows.items() for put in placed.values()]])
        while parts:
            part = parts.popleft()
            rest = _rows(one for later in parts for one in later)
            error = attempt(partial(self._move, part, rest))
            if error is not None:
                if not is_refusal(error):
                    return False
                if len(part) > 1:
                    half = len(part) // 2
                    parts.extendleft((part[half:], part[:half]))
                    continue
                if attempt(partial(self._set_aside, part[0], str(error), rest)):
                    return False
                self.refused += 1
                log.error(
                    "A row was refused by table %s and set aside in refused_rows: %s", part[0][0], error
                )
            self.moved(rest)
        return True

    def _move(self, part: list[tuple[str, Put]], rest: Rows, connection: duckdb.DuckDBPyConnection) -> None:
        move(connection, _rows(part))
        self.mark(connection, rest)

    def _set_aside(
        self, refused: tuple[str, Put], reason: str, rest: Rows, connection: duckdb.DuckDBPyConnection
    ) -> None:
        table, put = refused
        content = orjson.dumps(put.row).decode()
        connection.execute(
            "INSERT INTO refused_rows VALUES (?, ?, ?, now()::TIMESTAMP)", [table, content, reason]
        ).fetchall()
        self.mark(connection, rest)


NOT_DONE = (duckdb.Error, pa.ArrowException)
"""What a statement that was not executed raises."""


def is_refusal(error: BaseException) -> bool:
    """Whether DuckDB will never do this, and it is not the disk, the memory or the connection that is at fault."""
    return isinstance(error, _REFUSALS)


_REFUSALS = (
    duckdb.IntegrityError,
    duckdb.DataError,
    duckdb.ProgrammingError,
    duckdb.NotSupportedError,
    duckdb.InternalError,
    pa.ArrowException,
)


def _rows(puts: Iterable[tuple[str, Put]]) -> Rows:
    rows: Rows = {}
    for table, put in puts:
        place(rows, table, put)
    return rows


def _content(rows: Rows) -> list[Any]:
    return [[table, *one] for table, placed in rows.items() for one in placed.values()]


def _place_all(rows: Rows, content: Iterable[Any]) -> None:
    for table, *one in content:
        place(rows, table, Put(*one))


def place(rows: Rows, table: str, put: Put) -> None:
    """Add a row; an earlier one with the same key gives way."""
    placed = rows.setdefault(table, {})
    key = put.row[put.column]
    # At the end, so that rows are moved in the order in which they came.
    earlier = placed.pop(key, None)
    placed[key] = put._replace(replaces=True) if earlier is not None and earlier.replaces else put


def merge(rows: Rows, others: Rows) -> None:
    """Add all rows of others."""
    for table, placed in others.items():
        for put in placed.values():
            place(rows, table, put)


def move(connection: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    """Write rows to their tables."""
    for table, placed in rows.items():
        alike: dict[tuple[str, ...], list[Put]] = {}
        for put in placed.values():
            alike.setdefault((put.column, *put.row), []).append(put)
        for (column, *names), puts in alike.items():
            old = [put.row[column] for put in puts if put.replaces]
            if old:
                connection.execute(
                    f"DELETE FROM {table} WHERE {column} IN (SELECT unnest(?))", [old]
                ).fetchall()
            # DuckDB finds `arrived` among the names of this function.
            arrived = pa.table({name: _column(put.row[name] for put in puts) for name in names})  # noqa: F841
            connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM arrived").fetchall()


def _column(values: Iterable[Any]) -> pa.Array:
    # What was read from the journal has its times as texts, and DuckDB takes them all as such.
    return pa.array([value.isoformat() if isinstance(value, datetime) else value for value in values])
