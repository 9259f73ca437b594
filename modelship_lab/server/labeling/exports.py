"""Exports: a file is made once, batch by batch, and can then be fetched in parts for a while."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from modelship_lab.records.base import utc_now
from modelship_lab.records.errors import Conflict, LabError, NotFound, TooManyRequests
from modelship_lab.records.labeling import Export, ImportStatus, NewExport, Project
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling import export_columns
from modelship_lab.server.labeling.formats import file_name, open_writer, require_writable
from modelship_lab.server.labeling.formats.outgoing import ColumnWriter, LabeledSample, Outgoing
from modelship_lab.server.labeling.formats.rows import Problems
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.projects import Projects
from modelship_lab.server.labeling.sample_filter import identities, matching
from modelship_lab.server.labeling.samples import CONTENT_COLUMN
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.data_dir import as_storage_failed
from modelship_lab.server.storage.database import Cursor, Database

log = logging.getLogger(__name__)

Batch = TypeVar("Batch", list[LabeledSample], pa.Table)

BATCH_ROWS = 20_000
TABLE_ROWS = 50_000
"""As many are less as a table than those as Python's objects."""

BATCH_CHARACTERS = 16 << 20
"""Of the texts that are read at once, about."""

KEPT_S = 3600.0
"""How long a file may stay after it was last asked for."""

MAX_KEPT = 32
"""Exports of everybody together; of those that are finished, the one that was not asked for longest gives way."""

_COLUMNS = """
    s.id, s.name, s.group_name, s.split, s.text, s.image, s.fields::VARCHAR, s.width, s.height,
    coalesce(st.status, 'unlabeled'), st.source, st.author, st.origin, st.label, st.content::VARCHAR
"""
_SUGGESTED = ", g.label AS suggested, g.content::VARCHAR AS proposed, g.confidence, g.source AS suggested_by"


@dataclass
class _Making:
    """An export of this process."""

    id: str
    project: Project
    new: NewExport
    path: Path
    created_at: datetime
    rows_total: int = 0
    rows_written: int = 0
    status: ImportStatus = "running"
    error: str = ""
    used_at: float = field(default_factory=time.monotonic)
    problems: Problems = field(default_factory=Problems)
    task: asyncio.Task[None] | None = None

    def record(self) -> Export:
        return Export(
            id=self.id,
            project_id=self.project.id,
            format=self.new.format,
            status=self.status,
            filename=file_name(
                self.project.name, self.new.format, CONTENT_COLUMN[self.project.require_task()]
            ),
            rows_total=self.rows_total,
            rows_written=self.rows_written,
            bytes=self.path.stat().st_size if self.path.exists() else 0,
            left_out=self.problems.count,
            problems=tuple(self.problems.listed),
            error=self.error,
            created_at=self.created_at,
        )


class Exports:
    """Labels on their way out of projects.

    Samples are read in short reads of consecutive ids: neither the labels of a whole project are in memory at
    once, nor does a long export hold on to an old state of the database. Each read sees what counts by then.

    Args:
        uploads: where the files are made; it is emptied when the server starts.
    """

    def __init__(self, database: Database, blobs: Blobs, uploads: Path, projects: Projects) -> None:
        self._database = database
        self._blobs = blobs
        self._uploads = uploads
        self._projects = projects
        self._made: dict[str, _Making] = {}
        self._one_at_a_time = asyncio.Semaphore(1)

    async def begin(self, project: Project, new: NewExport, caller: Caller) -> Export:
        """Begin to make a file.

        Raises:
            InvalidInput: the format has no place for such labels.
            Conflict: the project is not one of labeling.
            TooManyRequests: too many exports are being made.
        """
        require(caller, "read", project)
        require_writable(new.format, project, CONTENT_COLUMN[project.require_task()])
        self._make_room()
        identity = secrets.token_hex(12)
        made = _Making(identity, project, new, self._uploads / f"export-{identity}", utc_now())
        self._made[identity] = made
        made.task = asyncio.create_task(self._make(made))
        return made.record()

    async def get(self, export_id: str, caller: Caller, wait_s: float = 0) -> Export:
        """An export; waits until it has ended, but no longer than `wait_s`.

        Raises:
            NotFound: there is none with this id for the caller, or it is gone again.
        """
        return (await self._find(export_id, caller, wait_s)).record()

    async def file(self, export_id: str, caller: Caller) -> tuple[Path, Export]:
        """The finished file of an export.

        Raises:
            NotFound: there is none with this id for the caller, or it is gone again.
            Conflict: it is not finished.
        """
        made = await self._find(export_id, caller, 0)
        if made.status != "finished":
            raise Conflict(
                made.error or "The export is not finished yet: ask for it with `wait_s` until it is."
            )
        return made.path, made.record()

    async def take(self, export_id: str, caller: Caller) -> tuple[Path, Export]:
        """`file`, which then belongs to whoever asks."""
        path, export = await self.file(export_id, caller)
        del self._made[export_id]
        return path, export

    async def stop(self) -> None:
        """Give up what is being made."""
        tasks = [made.task for made in self._made.values() if made.task is not None and not made.task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _find(self, export_id: str, caller: Caller, wait_s: float) -> _Making:
        made = self._made.get(export_id)
        if made is None:
            raise NotFound(
                f"There is no export {export_id[:50]} (any more): exports are kept for an hour or so, and end with the server. Begin it again."
            )
        self._projects.require(made.project.id, caller, "read", f"export {export_id}")
        made.used_at = time.monotonic()
        if made.task is not None and wait_s > 0:
            await asyncio.wait([made.task], timeout=wait_s)
        return made

    def _make_room(self) -> None:
        ended = sorted(
            (made for made in self._made.values() if made.status != "running"), key=lambda made: made.used_at
        )
        for made in ended:
            if time.monotonic() - made.used_at > KEPT_S or len(self._made) >= MAX_KEPT:
                del self._made[made.id]
                # Who is just reading it has it open.
                made.path.unlink(missing_ok=True)
        if len(self._made) >= MAX_KEPT:
            raise TooManyRequests("Too many exports are being made at the moment: try again later.")

    async def _make(self, made: _Making) -> None:
        try:
            async with self._one_at_a_time:
                await self._write(made)
            made.status = "finished"
        except asyncio.CancelledError:
            made.status, made.error = "failed", "The lab server was stopped: export again."
        except Exception as error:
            told = as_storage_failed(error) if isinstance(error, OSError) else error
            if not isinstance(told, LabError):
                log.exception("Export %s failed", made.id)
            made.error = (
                told.message if isinstance(told, LabError) else "The lab server met an error of its own."
            )
            made.status = "failed"
        finally:
            await asyncio.to_thread(_tidy, made)

    async def _write(self, made: _Making) -> None:
        outgoing = await self._database.read(lambda cursor: self._outgoing(cursor, made), long=True)
        writer = await asyncio.to_thread(open_writer, made.path, made.new.format, outgoing)
        if isinstance(writer, ColumnWriter) and export_columns.has_columns(outgoing):
            read = partial(_table, outgoing)
            await self._pass_on(made, read, writer.write_table, lambda table: table["id"][-1].as_py())
        else:
            await self._pass_on(made, _samples, writer.write, lambda samples: samples[-1].id)
        await asyncio.to_thread(writer.close)

    async def _pass_on(
        self,
        made: _Making,
        read: Callable[[Cursor, _Making, int], Batch],
        write: Callable[[Batch], None],
        last_id: Callable[[Batch], int],
    ) -> None:
        def behind(after: int) -> Awaitable[Batch]:
            return self._database.read(lambda cursor: read(cursor, made, after), long=True)

        batch = await behind(0)
        while len(batch):
            # The next ones are read while these are written.
            next_batch, _ = await asyncio.gather(behind(last_id(batch)), asyncio.to_thread(write, batch))
            made.rows_written += len(batch)
            batch = next_batch

    def _outgoing(self, cursor: Cursor, made: _Making) -> Outgoing:
        project = made.project
        found, parameters = matching(project, made.new.samples)
        ((made.rows_total, splits),) = cursor.tuples(
            f"SELECT count(*), list_sort(list(DISTINCT s.split)) {found}", *parameters
        )
        shared: list[str] = []
        features: dict[str, pa.DataType] = {}
        content = CONTENT_COLUMN[project.require_task()]
        if content == "image":
            shared = cursor.column(
                "SELECT stem FROM (SELECT regexp_replace(name, '\\.[^./]*$', '') AS stem FROM samples "
                "WHERE project_id = ? AND name IS NOT NULL) GROUP BY stem HAVING count(*) > 1",
                project.id,
            )
        elif content == "fields":
            features = dict(_features(cursor, project.id))
        return Outgoing(
            project,
            self._blobs.read,
            features,
            [split for split in splits or () if split is not None],
            frozenset(shared),
            made.new.suggestions,
            made.problems,
        )


def _features(cursor: Cursor, project_id: int) -> Iterator[tuple[str, pa.DataType]]:
    """The features of a tabular project in the order in which they first occur, as `feature_columns` has them."""
    rows = cursor.rows(
        "SELECT f.key AS name, list_distinct(list(f.type)) AS kinds FROM samples s, json_each(s.fields) f "
        "WHERE s.project_id = ? GROUP BY f.key ORDER BY min(s.id), min(f.id)",
        project_id,
    )
    for row in rows:
        kinds = set(row["kinds"]) - {"NULL"}
        if kinds and kinds <= {"BIGINT", "UBIGINT"}:
            yield row["name"], pa.int64()
        elif kinds and kinds <= {"BIGINT", "UBIGINT", "DOUBLE"}:
            yield row["name"], pa.float64()
        elif kinds == {"BOOLEAN"}:
            yield row["name"], pa.bool_()
        else:
            yield row["name"], pa.string()


def _samples(cursor: Cursor, made: _Making, after: int) -> list[LabeledSample]:
    """The next samples behind an id."""
    columns = _COLUMNS + (_SUGGESTED if made.new.suggestions else "")
    sql, parameters = _batch(made, columns, "* EXCLUDE (size)", BATCH_ROWS)
    return [LabeledSample(*row) for row in cursor.tuples(sql, *parameters, after)]


def _table(outgoing: Outgoing, cursor: Cursor, made: _Making, after: int) -> pa.Table:
    """The next samples behind an id with the columns of `Outgoing.schema`."""
    sql, parameters = _batch(made, export_columns.found(outgoing), export_columns.shown(outgoing), TABLE_ROWS)
    table = cursor.table(sql, *parameters, after)
    return table.rename_columns(outgoing.schema.names).cast(outgoing.schema)


def _batch(made: _Making, columns: str, shown: str, most: int) -> tuple[str, list[Any]]:
    """A query for the next samples behind an id: as many as memory should hold, but one at least."""
    found, parameters = identities(made.project, made.new.samples)
    suggestions = "LEFT JOIN suggestions g ON g.sample_id = s.id" if made.new.suggestions else ""
    return (
        f"""
        WITH wanted AS MATERIALIZED (
            SELECT id FROM ({found}) WHERE id > ? ORDER BY id LIMIT {most:d}
        ), found AS (
            SELECT {columns}, length(coalesce(s.text, '')) + length(coalesce(s.fields::VARCHAR, ''))
                + length(coalesce(st.content::VARCHAR, '')) AS size
            FROM wanted JOIN samples s ON s.id = wanted.id
            LEFT JOIN sample_states st ON st.sample_id = s.id {suggestions}
        )
        SELECT {shown} FROM found
        QUALIFY sum(size) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - size < {BATCH_CHARACTERS:d} ORDER BY id
        """,
        parameters,
    )


def _tidy(made: _Making) -> None:
    """Remove what was made on the way; all of it if the export failed."""
    for path in made.path.parent.glob(f"{made.path.name}*"):
        if path != made.path or made.status != "finished":
            with suppress(OSError):
                path.unlink()
