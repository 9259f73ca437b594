"""One DuckDB file, one writer thread, readers on a small pool.

DuckDB lets one process open a file, and a commit costs a millisecond or more however small it is.
So all writes go through one thread that takes every write that is waiting, runs them in one
transaction and commits once: each caller is answered only when its own write is on disk. Readers
see committed data through cursors of their own and wait for the writer only when something is in
the journal, which is moved to its tables before anybody looks at these.
"""

import asyncio
import logging
import queue
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from modelship_lab.records.base import utc_now
from modelship_lab.records.errors import LabError, StorageFailed, Unavailable
from modelship_lab.server.storage.journal import RESERVED, Journal, Key, Put, Rows, merge, move, place
from modelship_lab.server.storage.migrations import migrate

log = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_GROUP = 256
"""Writes in one transaction at most, so that nobody waits for an endless group."""

CLOSE_TIMEOUT_S = 30

BATCH_ROWS = 100_000
"""How much of a long result is in memory at once."""

MAX_PARSED = 512
"""Statements that are kept parsed; they are all forgotten when there are more."""

CHECKPOINT_BYTES = 64 << 20
"""Once the write-ahead log is larger, it is moved into the database file."""

MAX_JOURNALED = 200
"""Rows of one transaction; more are written to their tables at once."""

MAX_IN_JOURNAL = 1000
"""Rows that wait to be moved to their tables."""

MOVE_AFTER_S = 0.5
"""Without a write for so long, what is in the journal is moved."""


def now() -> datetime:
    """The present moment as DuckDB's TIMESTAMP columns take it: UTC without a zone."""
    return utc_now().replace(tzinfo=None)


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
        self._after_commit: list[Callable[[], None]] = []
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

    def settle(self) -> None:
        """Move everything that was put to its tables."""
        # Statements take ids from the sequences themselves, which are higher than those that are left.
        self._journal.reserved.clear()
        if not self.is_plain:
            self.is_plain = True
            if self._journal.rows:
                move(self._connection, self._journal.rows)
                self._connection.execute("DELETE FROM journal").fetchall()
        if self._put:
            put, self._put = self._put, {}
            move(self._connection, put)

    def finish(self) -> None:
        """Write what was put; the commit follows."""
        if self.is_plain or sum(map(len, self._put.values())) > MAX_JOURNALED:
            self.settle()
        elif self._put:
            self.beside_journal.tuples("INSERT INTO journal VALUES (?, ?)", *self._journal.line(self._put))

    def committed(self) -> None:
        """The commit was made."""
        if self.is_plain:
            self._journal.rows = {}
        merge(self._journal.rows, self._put)

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
        self._after_commit.append(call)


class _Write:
    """A write that waits for its commit."""

    def __init__(self, work: Callable[[Transaction], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()


class Database:
    """The only opener of a DuckDB file.

    Args:
        path: the file; made if it is not there, migrated if it is older.
        readers: threads for reading.
        memory_limit: what DuckDB may use, e.g. "2GB".

    Raises:
        StorageFailed: the file is damaged or belongs to a newer version.
    """

    def __init__(self, path: Path, *, readers: int = 2, memory_limit: str = "2GB") -> None:
        self.path = path
        self._memory_limit = memory_limit
        self._parsed: dict[str, duckdb.Statement] = {}
        self._journal = Journal()
        try:
            self._connection = self._connect()
        except duckdb.Error as error:
            raise StorageFailed(f"The database {path.name} cannot be opened: {_first_line(error)}") from error
        try:
            self.version = migrate(self._connection, path)
            self._journal.recover(self._connection)
        except BaseException:
            self._connection.close()
            raise
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        self._local = threading.local()
        self._cursors: list[duckdb.DuckDBPyConnection] = []
        self._reader_count = readers + 1
        self._reading = threading.Semaphore(self._reader_count)
        """Every reader takes one; the writer takes all of them to open the file again."""
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="mlship-read")
        self._long_reader = ThreadPoolExecutor(1, thread_name_prefix="mlship-read-long")
        self._writer = threading.Thread(target=self._write_forever, name="mlship-write", daemon=True)
        self._writer.start()

    async def write(self, work: Callable[[Transaction], Result]) -> Result:
        """Run `work` on the writer thread and answer after the commit that carries it.

        `work` may be run twice: when another write of its group fails, the group is rolled back
        and each is tried alone. So it must have no effect outside its transaction; what must
        happen afterwards goes to `Transaction.after_commit`.

        Raises:
            LabError: what `work` raised; nothing of it is stored.
            StorageFailed: the database refused, e.g. a full disk.
            Unavailable: the database is closed.
        """
        return await asyncio.wrap_future(self.submit(work))

    def submit(self, work: Callable[[Transaction], Result]) -> Future[Result]:
        """`write` for callers on other threads than the event loop's."""
        write = _Write(work)
        with self._closing:
            if self._closed:
                raise Unavailable("The lab server is stopping.")
            self._queue.put(write)
        return write.future

    async def read(self, work: Callable[[Cursor], Result], *, long: bool = False) -> Result:
        """Run `work` on a reader thread over committed data.

        Args:
            long: it takes seconds; such reads wait for each other, and nobody else for them.
        """
        if self._journal.rows:
            await self.write(Transaction.settle)
        try:
            found = (self._long_reader if long else self._readers).submit(self._read, work)
        except RuntimeError:
            raise Unavailable("The lab server is stopping.") from None
        return await asyncio.wrap_future(found)

    def read_now(self, work: Callable[[Cursor], Result]) -> Result:
        """`read` that blocks, for the start of the server, before its event loop runs."""
        if self._journal.rows:
            self.submit(Transaction.settle).result()
        return self._readers.submit(self._read, work).result()

    def _read(self, work: Callable[[Cursor], Result]) -> Result:
        with self._reading:
            try:
                return work(Cursor(self._reader(), self._parsed))
            except duckdb.Error as error:
                if _is_broken(error):
                    self._queue.put(_Write(lambda transaction: None))
                raise _storage_failed(error) from error

    def _reader(self) -> duckdb.DuckDBPyConnection:
        connection: duckdb.DuckDBPyConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connection.cursor()
            self._cursors.append(connection)
        return connection

    def close(self) -> None:
        """Finish the writes that are waiting, then close the file. May be called twice."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._writer.join(CLOSE_TIMEOUT_S)
        self._readers.shutdown(wait=True)
        self._long_reader.shutdown(wait=True)
        self._connection.close()

    def _write_forever(self) -> None:
        running = True
        while running:
            group: list[_Write] = []
            write = self._next()
            while True:
                if write is None:
                    running = False
                    break
                # Whoever asked may have gone away meanwhile; from here on its answer cannot be cancelled.
                if write.future.set_running_or_notify_cancel():
                    group.append(write)
                if len(group) >= MAX_GROUP or self._queue.empty():
                    break
                write = self._queue.get()
            if group and not self._commit(group):
                # One of them spoiled the common transaction: each gets its own.
                for single in group:
                    self._commit([single], alone=True)
            if self._journal.rows and (not running or len(self._journal) > MAX_IN_JOURNAL):
                self._commit([_Write(Transaction.settle)], alone=True)
            self._checkpoint()

    def _next(self) -> _Write | None:
        """The next write; when there is none for a while and something is in the journal, one that moves it."""
        try:
            return self._queue.get(timeout=MOVE_AFTER_S if self._journal.rows else None)
        except queue.Empty:
            return _Write(Transaction.settle)

    def _commit(self, group: list[_Write], alone: bool = False) -> bool:
        """Run a group in one transaction. Returns False if it was rolled back and can be tried one by one."""
        transaction = Transaction(self._connection, self._parsed, self._journal)
        try:
            self._connection.begin()
            results = [write.work(transaction) for write in group]
            transaction.finish()
            self._connection.commit()
        except BaseException as error:
            # Those that were taken in it may be given once more.
            self._journal.reserved.clear()
            broken = _is_broken(error)
            if broken:
                # Before anybody is told, so that who asks again finds it whole.
                self._open_again()
            else:
                self._roll_back()
            # What a broken database had taken may be on disk: then it must not be done a second time.
            if not alone and len(group) > 1 and not broken:
                return False
            failure = _storage_failed(error) if isinstance(error, duckdb.Error) else error
            if not isinstance(failure, LabError) or isinstance(failure, StorageFailed):
                log.error("A write failed and was rolled back", exc_info=error)
            for write in group:
                write.future.set_exception(failure)
            return True
        transaction.committed()
        for call in transaction._after_commit:
            try:
                call()
            except Exception:
                # The write is on disk; a listener's fault must not turn it into a failure.
                log.exception("A listener failed after a commit")
        for write, result in zip(group, results, strict=True):
            write.future.set_result(result)
        return True

    def _connect(self) -> duckdb.DuckDBPyConnection:
        # No checkpoint within a commit: one that meets a full disk breaks the database, and nobody
        # would know whether the commit is on disk.
        return duckdb.connect(
            str(self.path), config={"memory_limit": self._memory_limit, "checkpoint_threshold": "1TB"}
        )

    def _checkpoint(self) -> None:
        """Move the write-ahead log into the file when it has grown and the disk has room for that."""
        try:
            size = self.path.with_name(f"{self.path.name}.wal").stat().st_size
            if size < CHECKPOINT_BYTES or shutil.disk_usage(self.path.parent).free < 2 * size:
                return
            self._connection.execute("CHECKPOINT").fetchall()
        except FileNotFoundError:
            return
        except (duckdb.Error, OSError) as error:
            # Everything is in the log; the next write tries again.
            log.warning("The write-ahead log could not be moved into the database: %s", _first_line(error))
            if _is_broken(error):
                self._open_again()

    def _open_again(self) -> None:
        """Open the file anew after DuckDB gave it up, e.g. on a full disk; what was committed is in it.

        If that fails, whoever asks next makes the next try.
        """
        log.error("The database is opened again")
        for _ in range(self._reader_count):
            self._reading.acquire()
        try:
            for connection in (*self._cursors, self._connection):
                try:
                    connection.close()
                except duckdb.Error as error:
                    log.debug("A broken connection was not closed: %s", _first_line(error))
            self._cursors.clear()
            self._local = threading.local()
            self._connection = self._connect()
            # A commit that broke the database may be in the file.
            self._journal.recover(self._connection)
        except duckdb.Error:
            log.exception("The database cannot be opened")
        finally:
            self._reading.release(self._reader_count)

    def _roll_back(self) -> None:
        try:
            self._connection.rollback()
        except duckdb.Error:
            # There is no transaction when BEGIN itself failed.
            log.debug("Nothing to roll back")


def _is_broken(error: BaseException) -> bool:
    """Whether the database takes nothing more until it is opened again."""
    return isinstance(error, duckdb.FatalException | duckdb.InternalException | duckdb.ConnectionException)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _storage_failed(error: BaseException) -> StorageFailed:
    """DuckDB's message stays in the log: it can hold SQL and values that are nobody else's business."""
    text = str(error)
    if "No space left" in text or "out of disk" in text.lower():
        return StorageFailed("The disk is full: nothing of this request was stored. Make room and try again.")
    if isinstance(error, duckdb.OutOfMemoryException):
        return StorageFailed("The database ran out of memory on this request. Ask for less at once.")
    return StorageFailed("The database refused this request; the server's log has the reason.")


def placeholders(values: Sequence[Any]) -> str:
    """`?, ?, ?` for an IN list."""
    return ", ".join("?" * len(values))
