"""One DuckDB file, one writer thread, readers on a small pool.

DuckDB lets one process open a file, and a commit costs a millisecond or more however small it is.
So all writes go through one thread that takes every write that is waiting, runs them in one
transaction and commits once: each caller is answered only when its own write is on disk. Readers
see committed data through cursors of their own and wait for the writer only when something is in
the journal, a file beside the database, which is moved to its tables before anybody looks at these. While the disk has no room
for that, the writer's thread answers them from a transaction that is rolled back.
"""

import asyncio
import logging
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from modelship_lab.records.base import utc_now
from modelship_lab.records.errors import LabError, StorageFailed, Unavailable
from modelship_lab.server.storage.journal import NOT_DONE, Journal, is_refusal
from modelship_lab.server.storage.migrations import migrate
from modelship_lab.server.storage.transaction import Cursor, Transaction

__all__ = ["Cursor", "Database", "Transaction", "now", "placeholders"]

log = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_GROUP = 256
"""Writes in one transaction at most, so that nobody waits for an endless group."""

CLOSE_TIMEOUT_S = 30

CHECKPOINT_BYTES = 64 << 20
"""Once the write-ahead log is larger, it is moved into the database file."""

MAX_IN_JOURNAL = 1000
"""Rows that wait to be moved to their tables."""

MOVE_AFTER_S = 0.5
"""Without a write for so long, what is in the journal is moved."""

MOVE_AGAIN_AFTER_S = 5.0
"""The same when the last try failed."""


def now() -> datetime:
    """The present moment as DuckDB's TIMESTAMP columns take it: UTC without a zone."""
    return utc_now().replace(tzinfo=None)


class _Write:
    """A write that waits for its commit, or a read in the writer's turn, which is rolled back."""

    def __init__(self, work: Callable[[Transaction], Any], *, is_read: bool = False) -> None:
        self.work = work
        self.is_read = is_read
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
        self.is_stuck = False
        """What is in the journal could not be moved to its tables the last time: the disk is full, most likely."""
        try:
            self._journal = Journal(path.with_name(f"{path.name}.journal"))
            self._connection = self._connect()
        except (duckdb.Error, OSError) as error:
            raise StorageFailed(f"The database {path.name} cannot be opened: {_first_line(error)}") from error
        try:
            self.version = migrate(self._connection, path)
            self._journal.load(self._connection)
        except BaseException:
            self._connection.close()
            self._journal.close()
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
        return self._submit(_Write(work))

    def _submit(self, write: _Write) -> Future[Any]:
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
        if self._journal.rows and not await self._settled():
            return await asyncio.wrap_future(self._submit(_Write(work, is_read=True)))
        try:
            found = (self._long_reader if long else self._readers).submit(self._read, work)
        except RuntimeError:
            raise Unavailable("The lab server is stopping.") from None
        return await asyncio.wrap_future(found)

    def read_now(self, work: Callable[[Cursor], Result]) -> Result:
        """`read` that blocks, for the start of the server, before its event loop runs."""
        if self._journal.rows:
            found: Future[Result] = self._submit(_Write(work, is_read=True))
            return found.result()
        return self._readers.submit(self._read, work).result()

    @property
    def refused_rows(self) -> int:
        """How many rows that were put are not in their tables, because these did not take them."""
        return self._journal.refused

    async def _settled(self) -> bool:
        """Have the tables hold everything; False if the disk has no room for that."""
        if self.is_stuck:
            return False
        try:
            await self.write(Transaction.settle)
        except StorageFailed:
            return False
        return True

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
        self._journal.close()

    def _write_forever(self) -> None:
        running = True
        while running:
            group: list[_Write] = []
            reads: list[_Write] = []
            write = self._next()
            while True:
                if write is None:
                    running = False
                    break
                # Whoever asked may have gone away meanwhile; from here on its answer cannot be cancelled.
                if write.future.set_running_or_notify_cancel():
                    (reads if write.is_read else group).append(write)
                if len(group) >= MAX_GROUP or self._queue.empty():
                    break
                write = self._queue.get()
            if group and not self._commit(group):
                # One of them spoiled the common transaction: each gets its own.
                for single in group:
                    self._commit([single], alone=True)
            if self._journal.rows and (reads or not running or len(self._journal) > MAX_IN_JOURNAL):
                self._commit([_Write(Transaction.settle)], alone=True)
            for read in reads:
                self._look(read)
            self._checkpoint()

    def _next(self) -> _Write | None:
        """The next write; when there is none for a while and something is in the journal, one that moves it."""
        patience_s = MOVE_AGAIN_AFTER_S if self.is_stuck else MOVE_AFTER_S
        try:
            return self._queue.get(timeout=patience_s if self._journal.rows else None)
        except queue.Empty:
            return _Write(Transaction.settle)

    def _commit(self, group: list[_Write], alone: bool = False) -> bool:
        """Run a group in one transaction. Returns False if it was rolled back and can be tried one by one."""
        transaction = Transaction(self._connection, self._parsed, self._journal)
        try:
            results = [write.work(transaction) for write in group]
            transaction.commit()
        except BaseException as error:
            # Those that were taken in it may be given once more.
            self._journal.reserved.clear()
            broken = self._recover(error)
            if transaction.moves_journal and isinstance(error, NOT_DONE):
                # Nobody's write may fail for a row of others that its table refuses.
                self.is_stuck = not is_refusal(error) or not self._journal.settle_in_parts(self._attempt)
                if not self.is_stuck and not broken:
                    return self._commit(group, alone)
            # What a broken database had taken may be on disk: then it must not be done a second time.
            if not alone and len(group) > 1 and not broken:
                return False
            failure = _storage_failed(error) if isinstance(error, duckdb.Error) else error
            if not isinstance(failure, LabError) or isinstance(failure, StorageFailed):
                log.error("A write failed and was rolled back", exc_info=error)
            for write in group:
                write.future.set_exception(failure)
            return True
        self.is_stuck = False
        for call in transaction.after:
            try:
                call()
            except Exception:
                # The write is on disk; a listener's fault must not turn it into a failure.
                log.exception("A listener failed after a commit")
        for write, result in zip(group, results, strict=True):
            write.future.set_result(result)
        return True

    def _look(self, read: _Write) -> None:
        """Answer a read from a transaction in which the journal is in the tables, and that leaves no trace."""
        transaction = Transaction(self._connection, self._parsed, self._journal)
        try:
            transaction.settle()
            result = read.work(transaction)
            self._connection.rollback()
        except BaseException as error:
            self._recover(error)
            read.future.set_exception(_storage_failed(error) if isinstance(error, duckdb.Error) else error)
        else:
            read.future.set_result(result)

    def _attempt(self, work: Callable[[duckdb.DuckDBPyConnection], None]) -> Exception | None:
        """Run `work` in a transaction of its own. Returns what DuckDB has against it."""
        try:
            self._connection.begin()
            work(self._connection)
            self._connection.commit()
        except NOT_DONE as error:
            self._recover(error)
            return error
        return None

    def _recover(self, error: BaseException) -> bool:
        """Have a connection that takes writes after one failed. Returns whether the database had to be opened again."""
        if _is_broken(error):
            # Before anybody is told, so that who asks again finds it whole.
            self._open_again()
            return True
        self._roll_back()
        return False

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
            self._journal.load(self._connection)
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
