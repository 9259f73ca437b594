"""What reads and writes see of the database: SQL in, rows and Arrow tables out."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from modelship_lab.server.storage.journal import RESERVED, Journal, Key, Put, Rows, move, place

BATCH_ROWS = 100_000
"""How much of a long result is in memory at once."""

MAX_PARSED = 512
"""Statements that are kept parsed; they are all forgotten when there are more."""

MAX_JOURNALED = 200
"""Rows of one transaction; more are written to their tables at once."""


class Cursor:
    """Reads from the database; for use within one `Database.read` or `Database.write`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, parsed: dict[str, duckdb.Statement]) -> None:
        self._connection = connection
        self._parsed = parsed

    def _execute(self, sql: str, parameters: Sequence[Any]) -> duckdb.DuckDBPyConnection:
        """Execute one statement. Parsing is a fifth of what a small one costs, so that is done once."""
        statement = self._parsed.get(sql)
        if statement is None:
            (statement,) = self._connection.extract_statements(sql)
            if len(self._parsed) >= MAX_PARSED:
                self._parsed.clear()
            self._parsed[sql] = statement
        return self._connection.execute(statement, parameters)

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """All rows as mappings from column to value."""
        result = self._execute(sql, parameters)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def tuples(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows as they are selected: for thousands of them, which as mappings take several times as long."""
        return self._execute(sql, parameters).fetchall()

    def row(self, sql: str, *parameters: Any) -> dict[str, Any] | None:
        """The first row, or None."""
        found = self.rows(sql, *parameters)
        return found[0] if found else None

    def value(self, sql: str, *parameters: Any) -> Any:
        """The first column of the first row, or None."""
        # All rows are fetched: DuckDB lets a connection do nothing else while a result is unfinished.
        found = self._execute(sql, parameters).fetchall()
        return found[0][0] if found else None

    def column(self, sql: str, *parameters: Any) -> list[Any]:
        """The first column of all rows."""
        return [row[0] for row in self._execute(sql, parameters).fetchall()]

    def table(self, sql: str, *parameters: Any) -> pa.Table:
        """All rows as an Arrow table."""
        if parameters:
            return self._connection.sql(sql, params=list(parameters)).to_arrow_table()
        return self._connection.sql(sql).to_arrow_table()

    def batches(self, sql: str, *parameters: Any) -> pa.RecordBatchReader:
        """All rows as Arrow batches, which are made one after the other as they are taken."""
        return self._connection.sql(sql, params=list(parameters)).to_arrow_reader(BATCH_ROWS)

    @contextmanager
    def registered(self, tables: Mapping[str, pa.Table]) -> Iterator[None]:
        """Arrow tables that SQL may name within."""
        try:
            for name, table in tables.items():
                self._connection.register(name, table)
            yield
        finally:
            for name in tables:
                self._connection.unregister(name)

    def rows_with(self, sql: str, tables: Mapping[str, pa.Table], *parameters: Any) -> list[dict[str, Any]]:
        """Like `rows`, with Arrow tables that the SQL may name."""
        with self.registered(tables):
            return self.rows(sql, *parameters)

    def tuples_with(
        self, sql: str, tables: Mapping[str, pa.Table], *parameters: Any
    ) -> list[tuple[Any, ...]]:
        """Like `tuples`, with Arrow tables that the SQL may name."""
        with self.registered(tables):
            return self.tuples(sql, *parameters)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read within is of one state of the data. For use within one `Database.read`."""
        self._connection.begin()
        try:
            yield
        finally:
            self._connection.rollback()


class Transaction(Cursor):
    """Reads and writes inside the transaction that the writer thread will commit.

    Every statement finds what was put into the journal in the tables, but for those of `beside_journal`.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, parsed: dict[str, duckdb.Statement], journal: Journal
    ) -> None:
        super().__init__(connection, parsed)
        self.beside_journal = Cursor(connection, parsed)
        """Reads what is in the tables alone: `find` knows what is not in them yet."""
        self.after: list[Callable[[], None]] = []
        """What runs once it is on disk."""
        self._journal = journal
        self._put: Rows = {}
        self.is_plain = False
        """It has looked into the tables or changed them, so nothing of it goes to the journal."""

    def put(self, table: str, row: Mapping[str, Any], *, key: str, replaces: bool = False) -> None:
        """Write a row that is small and one of many: it is on disk with the commit, and in its table when needed.

        Args:
            row: values that JSON has, and times.
            key: the column that `find` goes by.
            replaces: there may be an earlier row of the same key, which goes.
        """
        place(self._put, table, Put(key, row, replaces))

    def find(self, table: str, key: Key) -> Mapping[str, Any] | None:
        """The row of this key that was put, unless it is in its table by now."""
        for rows in (self._put, {} if self.is_plain else self._journal.rows):
            found = rows.get(table, {}).get(key)
            if found is not None:
                return found.row
        return None

    def next_ids(self, sequence: str, count: int = 1) -> list[int]:
        """Ids of a sequence that are higher than all that were taken from it before."""
        reserved = self._journal.reserved.get(sequence)
        if reserved is None or len(reserved) < count:
            size = count if self.is_plain else max(count, RESERVED)
            taken = self.beside_journal.column(f"SELECT nextval('{sequence}') FROM range(?)", size)
            reserved = self._journal.reserved[sequence] = deque(sorted(taken))
        return [reserved.popleft() for _ in range(count)]

    @property
    def moves_journal(self) -> bool:
        """Whether rows of earlier transactions are moved to their tables by this one."""
        return self.is_plain and bool(self._journal.rows)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        # A transaction is one.
        yield

    def settle(self) -> None:
        """Move everything that was put to its tables."""
        # Statements take ids from the sequences themselves, which are higher than those that are left.
        self._journal.reserved.clear()
        if not self.is_plain:
            self._connection.begin()
            self.is_plain = True
            if self._journal.rows:
                move(self._connection, self._journal.rows)
                self._journal.mark(self._connection)
        if self._put:
            put, self._put = self._put, {}
            move(self._connection, put)

    def commit(self) -> None:
        """Have everything on disk."""
        if self.is_plain or sum(map(len, self._put.values())) > MAX_JOURNALED:
            self.settle()
            self._connection.commit()
            self._journal.moved()
        elif self._put:
            self._journal.append(self._put)

    def _execute(self, sql: str, parameters: Sequence[Any]) -> duckdb.DuckDBPyConnection:
        self.settle()
        return super()._execute(sql, parameters)

    def table(self, sql: str, *parameters: Any) -> pa.Table:
        self.settle()
        return super().table(sql, *parameters)

    def batches(self, sql: str, *parameters: Any) -> pa.RecordBatchReader:
        self.settle()
        return super().batches(sql, *parameters)

    def execute(self, sql: str, *parameters: Any) -> None:
        self._execute(sql, parameters).fetchall()

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append an Arrow table, matching columns by name. The way in for everything that comes in bulk."""
        self.settle()
        # DuckDB finds `rows` among the names of this function. To register it takes as long as to insert a few.
        self._connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM rows").fetchall()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Have `call` run on the writer thread once the transaction is on disk, before the caller is answered."""
        self.after.append(call)
