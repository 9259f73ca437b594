"""Imports: a file is taken at once, read in the background, and stored as a whole or not at all."""

import asyncio
import logging
import os
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from modelship_lab.records.errors import InvalidInput, LabError, NotFound, StorageFailed, Unavailable
from modelship_lab.records.labeling import (
    Import,
    ImportOptions,
    NewSelection,
    Project,
    RowProblem,
    SampleFilter,
)
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import LAB, Caller
from modelship_lab.server.labeling.acceptance import accept
from modelship_lab.server.labeling.candidates import SCHEMA, Candidates
from modelship_lab.server.labeling.existing import (
    missing_rows,
    present_rows,
    repeated_rows,
    said_of_present,
    to_take_over,
)
from modelship_lab.server.labeling.formats import open_reader
from modelship_lab.server.labeling.formats.intake import require_encoding
from modelship_lab.server.labeling.formats.rows import MAX_LISTED
from modelship_lab.server.labeling.label_rows import Act, add_many
from modelship_lab.server.labeling.labels import Labels
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.progress import ProgressCounts
from modelship_lab.server.labeling.projects import Projects
from modelship_lab.server.labeling.queue import LabelQueue
from modelship_lab.server.labeling.samples import CONTENT_COLUMN
from modelship_lab.server.labeling.selections import remember
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.data_dir import as_storage_failed
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 1.0
RETRY_S = 1.0

PART_BYTES = 16 << 20
"""Of checked rows, about so much is stored at once."""

SWITCH_INTERVAL_S = 0.0005

_SUGGESTED = ("suggested", "suggested_content", "suggested_classes", "confidence")

_OF_SAMPLES = (
    "content_hash",
    "text",
    "image",
    "fields",
    "width",
    "height",
    "name",
    "group_name",
    "split",
)

_OPTION_OF_CONTENT = {"text": "text", "image": "image", "fields": "features"}


class Imports:
    """Files on their way into projects, one after the other."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        blobs: Blobs,
        uploads: Path,
        projects: Projects,
        counts: ProgressCounts,
        queue: LabelQueue,
        labels: Labels,
    ) -> None:
        self._database = database
        self._events = events
        self._blobs = blobs
        self._uploads = uploads
        self._projects = projects
        self._counts = counts
        self._queue = queue
        self._labels = labels
        # One at a time: each must see what the one before it has added, to know what is there twice.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mlship-import")
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._rows_read: dict[int, int] = {}
        self._stopping = False

    async def start(self) -> None:
        """Mark the imports that a former process did not finish. Nothing of them was stored."""

        def work(transaction: Transaction) -> None:
            lost = transaction.rows(
                "SELECT i.id, i.project_id, p.owner_id FROM imports i JOIN projects p ON p.id = i.project_id "
                "WHERE i.status = 'running'"
            )
            for row in lost:
                error = "The lab server stopped before the file was read. Nothing of it was stored: import it again."
                self._fail(transaction, row["id"], row["project_id"], row["owner_id"], LAB, error)

        await self._database.write(work)

    async def stop(self) -> None:
        """Give up what is being read."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))
        self._thread.shutdown(wait=False)

    async def begin(
        self, project: Project, options: ImportOptions, file: Path, size: int, caller: Caller
    ) -> Import:
        """Take a finished file of `size` bytes; it is read in the background.

        Raises:
            InvalidInput: the options do not fit the project, or name no encoding.
            Conflict: the project is not one of labeling.
        """
        require(caller, "write", project)
        _check(project, options)
        kept = self._uploads / f"import-{uuid.uuid4().hex}"
        os.replace(file, kept)

        def work(transaction: Transaction) -> Import:
            identity = transaction.value(
                "INSERT INTO imports (project_id, filename, options, status, bytes_total, author, created_at) "
                "VALUES (?, ?, ?, 'running', ?, ?, ?) RETURNING id",
                project.id,
                options.filename,
                options.model_dump_json(),
                size,
                caller.name,
                now(),
            )
            return _import(transaction, identity)

        try:
            begun = await self._database.write(work)
        except BaseException:
            await asyncio.to_thread(_remove, kept)
            raise
        task = asyncio.create_task(self._run(begun.id, project, options, kept, caller))
        self._tasks[begun.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(begun.id, None))
        return begun

    async def get(self, import_id: int, caller: Caller, wait_s: float = 0) -> Import:
        """An import; waits until it has ended, but no longer than `wait_s`.

        Raises:
            NotFound: there is none with this id for the caller.
        """
        task = self._tasks.get(import_id)
        found = await self._database.read(lambda cursor: _import(cursor, import_id))
        self._projects.require(found.project_id, caller, "read", f"import {import_id}")
        if task is not None and wait_s > 0:
            await asyncio.wait([task], timeout=wait_s)
            found = await self._database.read(lambda cursor: _import(cursor, import_id))
        if found.status == "running":
            return found.model_copy(update={"rows_read": self._rows_read.get(import_id, 0)})
        return found

    async def _run(
        self, import_id: int, project: Project, options: ImportOptions, file: Path, caller: Caller
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            candidates, staged = await loop.run_in_executor(
                self._thread, self._stage, import_id, project, options, file, caller
            )
            repeated = await self._database.read(lambda cursor: repeated_rows(cursor, staged), long=True)
            await self._database.write(
                lambda transaction: self._store(
                    transaction, import_id, project, options, file, candidates, staged, repeated, caller
                )
            )
        except Exception as error:
            if not isinstance(error, LabError):
                log.exception("Import %d failed", import_id)
            told = as_storage_failed(error) if isinstance(error, OSError) else error
            message = (
                told.message if isinstance(told, LabError) else "The lab server met an error of its own."
            )
            # First, since room on the disk may be what is missing.
            await asyncio.to_thread(_remove, file)
            await self._give_up(import_id, project, caller, message)
        finally:
            self._rows_read.pop(import_id, None)
            await asyncio.to_thread(_remove, file)

    async def _give_up(self, import_id: int, project: Project, caller: Caller, message: str) -> None:
        """Write that an import failed, once the disk has room for that; else it would run for ever."""
        while True:
            try:
                await self._database.write(
                    lambda transaction: self._fail(
                        transaction, import_id, project.id, project.owner_id, caller, message
                    )
                )
                return
            except Unavailable:
                return
            except StorageFailed:
                if self._stopping:
                    # The next start marks it.
                    return
                await asyncio.sleep(RETRY_S)

    def _stage(
        self, import_id: int, project: Project, options: ImportOptions, file: Path, caller: Caller
    ) -> tuple[Candidates, pa.Table]:
        """Read and check the whole file, into a table that lies on disk."""
        reader = open_reader(file, options.format, options.encoding, project)
        candidates = Candidates(project, options, reader, self._blobs)
        staged = _staged(file)
        told = time.monotonic()
        with _giving_way(), pa.OSFile(str(staged), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for batch in candidates.batches():
                if self._stopping:
                    raise Unavailable(
                        "The lab server was stopped. Nothing of the file was stored: import it again."
                    )
                writer.write_batch(batch)
                self._rows_read[import_id] = candidates.rows_read
                if time.monotonic() - told > PROGRESS_EVERY_S:
                    told = time.monotonic()
                    self._tell(import_id, project, candidates.rows_read, caller)
        if candidates.rows_read == 0:
            raise InvalidInput("The file has no rows.")
        with pa.memory_map(str(staged)) as source:
            return candidates, pa.ipc.open_file(source).read_all()

    def _tell(self, import_id: int, project: Project, rows_read: int, caller: Caller) -> None:
        self._database.submit(
            lambda transaction: self._events.record(
                transaction,
                "import.progress",
                f"project:{project.id}",
                caller,
                project.owner_id,
                import_id=import_id,
                rows_read=rows_read,
            )
        )

    def _store(
        self,
        transaction: Transaction,
        import_id: int,
        project: Project,
        options: ImportOptions,
        file: Path,
        candidates: Candidates,
        staged: pa.Table,
        repeated: pa.Table,
        caller: Caller,
    ) -> None:
        if transaction.value("SELECT id FROM projects WHERE id = ?", project.id) is None:
            raise NotFound("The project was deleted while the file was being read.")
        self._counts.load(transaction, project.id)
        moment = now()
        tables = {"staged_rows": staged, "repeated_rows": repeated}
        before = transaction.value("SELECT coalesce(max(id), 0) FROM samples")
        present = present_rows(transaction, project, options.match, tables)
        tables["present_rows"] = present
        known = np.concatenate([repeated["row"].to_numpy(), present["row"].to_numpy()])
        added = 0
        for part in _parts(_staged(file)):
            is_new = pa.chunked_array([~np.isin(part["row"].to_numpy(), known)])
            new = part.filter(pc.and_(is_new, pc.is_valid(part["content_hash"])))
            ids = transaction.table("SELECT nextval('sample_ids') AS id FROM range(?)", new.num_rows)["id"]
            own = {
                # The file's order is the order of the ids.
                "id": np.sort(ids.to_numpy()),
                "project_id": np.full(new.num_rows, project.id),
                "import_id": np.full(new.num_rows, import_id),
                "created_at": pa.repeat(pa.scalar(moment), new.num_rows),
            }
            columns = {name: new[name] for name in _OF_SAMPLES}
            transaction.insert("samples", pa.table({**own, **columns}))
            added += new.num_rows
        tables["fresh_samples"] = _fresh(transaction, import_id, before)
        act = Act(author=caller.name, batch=f"import-{import_id}", source="import")
        labels = _brought(transaction, tables, ("label", "content", "classes"))
        states = add_many(transaction, project.id, labels, act) if labels.num_rows else {}
        self._counts.change(transaction, project.id, samples=added, states=states)
        suggested = _suggestions_of(_brought(transaction, tables, _SUGGESTED))
        changed = 0
        kept: list[tuple[int, str]] = []
        if options.existing != "leave" and present.num_rows:
            said = said_of_present(transaction, tables)
            taken, kept = to_take_over(transaction, project, said, options.existing)
            changed = taken.num_rows
            if changed:
                self._labels.add_many(transaction, project, taken, act, caller)
            suggested = pa.concat_tables([suggested, _suggestions_of(said)])
        auto = self._store_suggestions(transaction, import_id, project, suggested, moment, caller)
        missing = missing_rows(transaction, tables)
        if options.selection is not None:
            self._remember(transaction, import_id, project, options.selection, tables, caller)
        problems = sorted(
            [
                *candidates.bad.listed,
                *(RowProblem(row=row, reason=f"there is no sample called '{name}'") for row, name in missing),
                *_duplicates(repeated, present if options.existing == "leave" else _later(present), kept),
            ],
            key=lambda one: one.row,
        )[:MAX_LISTED]
        duplicates = repeated.num_rows + present.num_rows
        bad_rows = candidates.bad.count + len(missing)
        transaction.execute(
            "UPDATE imports SET status = 'finished', rows_read = ?, samples_added = ?, labels_added = ?, "
            "suggestions_added = ?, auto_added = ?, duplicates = ?, labels_changed = ?, labels_kept = ?, "
            "bad_rows = ?, problems = ?, finished_at = ? WHERE id = ?",
            candidates.rows_read,
            added,
            labels.num_rows,
            suggested.num_rows,
            auto,
            duplicates,
            changed,
            len(kept),
            bad_rows,
            orjson.dumps([one.model_dump() for one in problems]).decode(),
            moment,
            import_id,
        )
        self._events.record(
            transaction,
            "import.finished",
            f"project:{project.id}",
            caller,
            project.owner_id,
            import_id=import_id,
            samples_added=added,
            labels_added=labels.num_rows,
            suggestions_added=suggested.num_rows,
            duplicates=duplicates,
            labels_changed=changed,
            bad_rows=bad_rows,
        )
        transaction.after_commit(lambda: self._queue.refresh(project.id))

    def _remember(
        self,
        transaction: Transaction,
        import_id: int,
        project: Project,
        name: str,
        tables: dict[str, pa.Table],
        caller: Caller,
    ) -> None:
        of_file = "SELECT sample_id AS id FROM fresh_samples UNION SELECT sample_id FROM present_rows"
        new = NewSelection(name=name, samples=SampleFilter(import_id=import_id))
        with transaction.registered(tables):
            remember(transaction, self._events, project, new, of_file, [], caller)

    def _store_suggestions(
        self,
        transaction: Transaction,
        import_id: int,
        project: Project,
        suggested: pa.Table,
        moment: datetime,
        caller: Caller,
    ) -> int:
        """Store predictions; those that the samples had are replaced. Returns how many became labels."""
        if not suggested.num_rows:
            return 0
        tables = {"suggested_rows": suggested}
        transaction.rows_with(
            "DELETE FROM suggestions WHERE project_id = ? AND sample_id IN (SELECT sample_id FROM suggested_rows)",
            tables,
            project.id,
        )
        transaction.rows_with(
            "INSERT INTO suggestions (project_id, sample_id, label, content, classes, confidence, uncertainty, "
            "source, created_at) SELECT ?, sample_id, suggested, suggested_content, suggested_classes, "
            "confidence, 1 - confidence, ?, ? FROM suggested_rows ORDER BY sample_id",
            tables,
            project.id,
            f"import:{import_id}",
            moment,
        )
        return accept(transaction, project, self._labels, caller, among=suggested)

    def _fail(
        self,
        transaction: Transaction,
        import_id: int,
        project_id: int,
        owner_id: int,
        caller: Caller,
        error: str,
    ) -> None:
        transaction.execute(
            "UPDATE imports SET status = 'failed', error = ?, finished_at = ? WHERE id = ?",
            error,
            now(),
            import_id,
        )
        self._events.record(
            transaction,
            "import.failed",
            f"project:{project_id}",
            caller,
            owner_id,
            import_id=import_id,
            error=error,
        )


def _check(project: Project, options: ImportOptions) -> None:
    task = project.require_task()
    given = {name for name in _OPTION_OF_CONTENT.values() if getattr(options, name)}
    wrong = sorted(given - {_OPTION_OF_CONTENT[CONTENT_COLUMN[task]]})
    if wrong:
        raise InvalidInput(
            f"Project '{project.name}' is for {task.replace('_', ' ')}: it takes no `{wrong[0]}`.",
            [{"field": name, "reason": f"is not for {task}"} for name in wrong],
        )
    require_encoding(options.encoding)


def _staged(file: Path) -> Path:
    """Where the checked rows of a file lie."""
    return file.with_name(f"{file.name}.staged")


def _parts(staged: Path) -> Iterator[pa.Table]:
    """Checked rows in parts, of which one is in memory: all of them at once take several times as much as the file."""
    with pa.OSFile(str(staged)) as source:
        reader = pa.ipc.open_file(source)
        part: list[pa.RecordBatch] = []
        for number in range(reader.num_record_batches):
            part.append(reader.get_batch(number))
            if sum(batch.nbytes for batch in part) >= PART_BYTES:
                yield pa.Table.from_batches(part)
                part = []
        if part:
            yield pa.Table.from_batches(part)


def _fresh(cursor: Cursor, import_id: int, before: int) -> pa.Table:
    """The samples that an import has added: `sample_id`, `content_hash`."""
    return cursor.table(
        "SELECT id AS sample_id, content_hash FROM samples WHERE id > ? AND import_id = ?", before, import_id
    )


def _brought(cursor: Cursor, tables: dict[str, pa.Table], columns: Sequence[str]) -> pa.Table:
    """What came along with the new samples in these columns, of which the first two are not both null."""
    names = ", ".join(f"i.{name}" for name in columns)
    with cursor.registered(tables):
        return cursor.table(
            f"SELECT f.sample_id, {names} FROM staged_rows i JOIN fresh_samples f USING (content_hash) "
            'WHERE i."row" NOT IN (SELECT "row" FROM repeated_rows) '
            f"AND (i.{columns[0]} IS NOT NULL OR i.{columns[1]} IS NOT NULL) ORDER BY f.sample_id"
        )


def _suggestions_of(rows: pa.Table) -> pa.Table:
    """Those of the rows that suggest something, with the columns of that."""
    is_there = pc.or_(pc.is_valid(rows["suggested"]), pc.is_valid(rows["suggested_content"]))
    return rows.filter(is_there).select(["sample_id", *_SUGGESTED])


def _duplicates(
    repeated: pa.Table, present: pa.Table, kept: Sequence[tuple[int, str]]
) -> Iterator[RowProblem]:
    """The first rows of each kind whose sample is there already."""
    for one in repeated.slice(0, MAX_LISTED).to_pylist():
        yield RowProblem(row=one["row"], reason=f"duplicate of an earlier row: row {one['first']}")
    for row, label in kept[:MAX_LISTED]:
        yield RowProblem(row=row, reason=f"the sample is labeled otherwise, and that stays: {label[:200]}")
    for one in present.slice(0, MAX_LISTED).to_pylist():
        again = f"an earlier row: row {one['first']}" if one["first"] != one["row"] else ""
        yield RowProblem(
            row=one["row"], reason=f"duplicate of {again or 'a sample that the project has already'}"
        )


def _later(present: pa.Table) -> pa.Table:
    """The rows whose sample an earlier row means, too."""
    return present.filter(pc.not_equal(present["first"], present["row"]))


def _import(cursor: Cursor, import_id: int) -> Import:
    row = cursor.row("SELECT * FROM imports WHERE id = ?", import_id)
    if row is None:
        raise NotFound(f"There is no import {import_id}.")
    problems = tuple(RowProblem(**one) for one in orjson.loads(row["problems"]))
    fields = {name: value for name, value in row.items() if name in Import.model_fields}
    return Import(**{**fields, "problems": problems})


def _remove(file: Path) -> None:
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink(missing_ok=True)


@contextmanager
def _giving_way() -> Iterator[None]:
    """Let other threads run after half a millisecond instead of five.

    Each step of a request takes the interpreter back from the thread that reads a file: with the
    usual interval, saving a label takes a quarter of a second while an import runs.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
