"""What is committed as one row of a journal, and moved to its tables together with what came meanwhile.

A statement costs DuckDB half a millisecond to two however little it writes, and each table that a commit touches adds to
that. A small thing that happens often, as a decision about a sample does, is rows of three tables; written one by one
they would take most of the time of whoever waits for the commit. So they are put here: one row of one narrow table,
whoever is in the group. They are in the tables before anybody reads these, and a file that was left with a journal is
put in order when it is opened.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import duckdb
import orjson
import pyarrow as pa

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


class Journal:
    """What is on disk and not in its tables yet, and ids that are taken already. For the writer thread."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.reserved: dict[str, deque[int]] = {}
        self._last = 0

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))

    def line(self, rows: Rows) -> tuple[int, str]:
        """A row of the journal for rows of other tables."""
        self._last += 1
        content = [[table, *one] for table, placed in rows.items() for one in placed.values()]
        return self._last, orjson.dumps(content).decode()

    def recover(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Move what an earlier process has left, or a connection that broke."""
        self.rows = {}
        self.reserved.clear()
        lines = connection.execute("SELECT rows FROM journal ORDER BY id").fetchall()
        if not lines:
            return
        left: Rows = {}
        for (content,) in lines:
            for table, *one in orjson.loads(content):
                place(left, table, Put(*one))
        connection.begin()
        try:
            move(connection, left)
            connection.execute("DELETE FROM journal")
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


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
