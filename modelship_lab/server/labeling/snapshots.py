"""Snapshots: immutable, numbered copies of a project's labels with their samples."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from modelship_lab.records.base import Page, medium_of
from modelship_lab.records.errors import Conflict, NotFound
from modelship_lab.records.labeling import Kind, NewSnapshot, Project, SampleFilter, Snapshot, SnapshotDiff
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.ownership import is_held, require
from modelship_lab.server.labeling.projects import Projects
from modelship_lab.server.labeling.sample_filter import identities, number_of
from modelship_lab.server.labeling.samples import CONTENT_COLUMN, expand_fields
from modelship_lab.server.labeling.selections import require_selection
from modelship_lab.server.labeling.snapshot_diff import compare
from modelship_lab.server.storage.blobs import Blobs
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now

_BATCH_BYTES = 8 << 20

_OWN_COLUMNS = frozenset({"sample_id", "source", "split"})

_SPANS = '[{"start": "BIGINT", "end": "BIGINT", "label": "VARCHAR"}]'
_BOXES = '[{"x": "DOUBLE", "y": "DOUBLE", "width": "DOUBLE", "height": "DOUBLE", "label": "VARCHAR"}]'

_SAID: dict[Kind, str] = {
    "label": "st.label AS label",
    "labels": "from_json(st.content->'labels', '[\"VARCHAR\"]') AS labels",
    "spans": f"from_json(st.content->'spans', '{_SPANS}') AS spans",
    "boxes": f"from_json(st.content->'boxes', '{_BOXES}') AS boxes",
    "number": f"{number_of('st')} AS number",
}


class Snapshots:
    """The snapshots of all projects. Their files are blobs: what is the same is stored once."""

    def __init__(
        self, database: Database, events: EventLog, blobs: Blobs, uploads: Path, projects: Projects
    ) -> None:
        self._database = database
        self._events = events
        self._blobs = blobs
        self._uploads = uploads
        self._projects = projects

    async def create(self, project: Project, new: NewSnapshot, caller: Caller) -> Snapshot:
        """Copy what is labeled now: one consistent state, to which nothing that is labeled later is added.

        Raises:
            Conflict: nothing is labeled yet, or the project is not one of labeling.
            NotFound: there is no selection of the name that is given.
        """
        require(caller, "train", project)
        project.require_task()
        labeled = await self._database.read(lambda cursor: _labeled(cursor, project, new))
        if labeled.num_rows == 0:
            meant = f"Nothing in '{project.name}'"
            if new.samples != SampleFilter():
                meant = f"None of the samples of '{project.name}' that are meant"
            raise Conflict(f"{meant} is labeled yet: a snapshot needs labels. Label some first.")
        table, by_class = await asyncio.to_thread(_arrange, project, labeled)
        digest = await asyncio.to_thread(self._write, table)
        features = (
            [name for name in table.column_names if name not in _OWN_COLUMNS | {project.kind}]
            if medium_of(project.require_task()) == "table"
            else []
        )

        def work(transaction: Transaction) -> Snapshot:
            if transaction.value("SELECT id FROM projects WHERE id = ?", project.id) is None:
                raise NotFound(f"There is no project '{project.name}' any more.")
            number = transaction.value(
                "SELECT coalesce(max(number), 0) + 1 FROM snapshots WHERE project_id = ?", project.id
            )
            row = transaction.row(
                "INSERT INTO snapshots (project_id, number, task, multilabel, classes, features, rows, by_class, digest, "
                "description, options, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
                project.id,
                number,
                project.task,
                project.multilabel,
                list(project.classes),
                features,
                table.num_rows,
                orjson.dumps(by_class).decode(),
                digest,
                new.description,
                new.model_dump_json(exclude_defaults=True),
                now(),
            )
            assert row is not None
            snapshot = _record(row, project)
            self._events.record(
                transaction,
                "snapshot.created",
                f"project:{project.id}",
                caller,
                project.owner_id,
                snapshot_id=snapshot.id,
                number=number,
                rows=table.num_rows,
            )
            return snapshot

        return await self._database.write(work)

    async def page(self, project: Project, caller: Caller) -> Page[Snapshot]:
        """All snapshots of a project, the newest first."""
        require(caller, "read", project)

        def work(cursor: Cursor) -> Page[Snapshot]:
            found = cursor.rows(
                "SELECT * FROM snapshots WHERE project_id = ? ORDER BY number DESC", project.id
            )
            items = tuple(_record(row, project) for row in found)
            return Page(items=items, total=len(items), limit=len(items), offset=0)

        return await self._database.read(work)

    async def get(self, snapshot_id: int, caller: Caller) -> Snapshot:
        """One snapshot.

        Raises:
            NotFound: there is none with this id for the caller.
        """

        what = f"snapshot {snapshot_id}"
        row = await self._database.read(
            lambda cursor: cursor.row("SELECT * FROM snapshots WHERE id = ?", snapshot_id)
        )
        if row is None:
            raise NotFound(f"There is no {what}.")
        return _record(row, self._projects.require(row["project_id"], caller, "read", what))

    async def diff(self, before_id: int, after_id: int, caller: Caller) -> SnapshotDiff:
        """What changed from one snapshot to another of the same project.

        Raises:
            NotFound: there is none with one of these ids for the caller.
            Conflict: they are of two projects.
        """
        before, after = await self.get(before_id, caller), await self.get(after_id, caller)
        if before.project_id != after.project_id:
            raise Conflict("The snapshots are of two projects: only those of one can be compared.")
        before_path, after_path = self._blobs.path(before.digest), self._blobs.path(after.digest)
        return await self._database.read(
            lambda cursor: compare(cursor, before, before_path, after, after_path)
        )

    async def holds(self, digest: str, caller: Caller) -> bool:
        """Whether the file of this digest is that of a snapshot that the caller may see."""
        return await is_held(self._database, "snapshots", "digest", digest, caller)

    async def data(self, snapshot_id: int, caller: Caller) -> Path:
        """The Arrow IPC file of a snapshot."""
        return self._blobs.path((await self.get(snapshot_id, caller)).digest)

    async def images(self, snapshot_id: int, caller: Caller) -> Path:
        """A temporary Arrow IPC stream with all images of a snapshot: `digest` string, `data` binary.

        It has no rows when the snapshot is not one of images.
        """
        snapshot = await self.get(snapshot_id, caller)
        return await asyncio.to_thread(self._write_images, snapshot)

    def _write(self, table: pa.Table) -> str:
        with self._temporary("snapshot-") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        return self._blobs.adopt(Path(file.name))

    @contextmanager
    def _temporary(self, prefix: str) -> "Iterator[tempfile._TemporaryFileWrapper[bytes]]":
        """A file that is left where it is when it is complete, and removed when it is not."""
        file = tempfile.NamedTemporaryFile(dir=self._uploads, prefix=prefix, delete=False)  # noqa: SIM115
        try:
            with file:
                yield file
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise

    def _write_images(self, snapshot: Snapshot) -> Path:
        schema = pa.schema([("digest", pa.string()), ("data", pa.binary())])
        digests: list[str] = []
        if CONTENT_COLUMN[snapshot.task] == "image":
            with pa.memory_map(str(self._blobs.path(snapshot.digest))) as source:
                digests = pc.unique(pa.ipc.open_file(source).read_all()["image"]).to_pylist()
        with self._temporary("images-") as file, pa.ipc.new_stream(file, schema) as writer:
            batch: dict[str, bytes] = {}
            size = 0
            for digest in [*digests, None]:
                if batch and (digest is None or size > _BATCH_BYTES):
                    writer.write_batch(pa.record_batch([list(batch), list(batch.values())], schema=schema))
                    batch, size = {}, 0
                if digest is not None:
                    batch[digest] = self._blobs.read(digest)
                    size += len(batch[digest])
        return Path(file.name)


def _labeled(cursor: Cursor, project: Project, new: NewSnapshot) -> pa.Table:
    statuses = "('labeled', 'auto')" if new.include_auto else "('labeled')"
    meant = ""
    parameters: list[Any] = []
    if new.samples != SampleFilter():
        require_selection(cursor, project, new.samples)
        sql, parameters = identities(project, new.samples)
        meant = f"AND s.id IN ({sql}) "
    # One statement sees one state of the database.
    return cursor.table(
        f"SELECT s.id AS sample_id, {_SAID[project.kind]}, st.source, {_split(new)} AS split, "
        f"s.{CONTENT_COLUMN[project.require_task()]}, "
        "coalesce(st.classes, [st.label]) AS classes "
        "FROM sample_states st JOIN samples s ON s.id = st.sample_id "
        f"WHERE st.project_id = ? AND st.status IN {statuses} {meant}ORDER BY s.id",
        project.id,
        *parameters,
    )


def _split(new: NewSnapshot) -> str:
    """The split of a sample, as SQL: the one it came with, that of its group, or one by chance."""
    together = "coalesce('group ' || s.group_name, 'content ' || s.content_hash)"
    given = f"coalesce(s.split, max(s.split) OVER (PARTITION BY {together}))"
    if not new.splits:
        return given
    # A number from 0 to 1 that is the same for what belongs together, today and in later snapshots.
    place = f"(md5_number_lower({together} || ' {new.seed:d}')::DOUBLE / 18446744073709551616.0)"
    *others, last = new.splits
    upto, cases = 0.0, ""
    for name in others:
        upto += new.splits[name]
        cases += f"WHEN {place} < {upto!r} THEN {_quoted(name)} "
    chosen = f"CASE {cases}ELSE {_quoted(last)} END" if cases else _quoted(last)
    return f"coalesce({given}, {chosen})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _arrange(project: Project, labeled: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """The table of a snapshot, and in how many samples each class occurs."""
    occurring = Counter(pc.list_flatten(labeled["classes"]).to_pylist())
    table = labeled.drop_columns(["classes"])
    classes = pa.array(project.classes, pa.string())
    if project.kind == "label":
        table = table.set_column(1, "label", pc.index_in(table["label"], classes).cast(pa.int32()))
    elif project.kind == "labels":
        names = table["labels"].combine_chunks()
        codes = pc.index_in(names.flatten(), classes).cast(pa.int32())
        lengths = pc.list_value_length(names).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        table = table.set_column(1, "labels", pa.ListArray.from_arrays(offsets, codes))
    if medium_of(project.require_task()) == "table":
        table = expand_fields(table)
    return table.replace_schema_metadata(None), {name: occurring[name] for name in project.classes}


def _record(row: dict[str, Any], project: Project) -> Snapshot:
    return Snapshot(
        **{
            **row,
            "unit": project.settings.unit,
            "by_class": orjson.loads(row["by_class"]),
            "options": orjson.loads(row["options"]),
        }
    )
