"""Samples: one by one, as pages, and all of them as a table."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from modelship_lab.records.base import Page
from modelship_lab.records.errors import NotFound
from modelship_lab.records.labeling import (
    Project,
    Sample,
    SampleCount,
    SampleFilter,
    SampleOrder,
    Suggestion,
    value_fields,
)
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.features import feature_columns
from modelship_lab.server.labeling.ownership import is_held, require
from modelship_lab.server.labeling.projects import Projects
from modelship_lab.server.labeling.sample_filter import CONTENT_COLUMN as CONTENT_COLUMN
from modelship_lab.server.labeling.sample_filter import number_of
from modelship_lab.server.labeling.sample_lists import SampleLists
from modelship_lab.server.storage.arrow_streams import write_stream
from modelship_lab.server.storage.database import Cursor, Database

TABLE_ROWS = 50_000
"""Of a table, so many are in memory at once."""

_COLUMNS = """
    s.id, s.project_id, coalesce(st.status, 'unlabeled') AS status, {text} AS text, s.image, s.fields,
    s.group_name, s.name, s.split, st.label, st.content, n.note,
    g.label AS suggested, g.content AS suggested_content, g.confidence, g.uncertainty, g.source
"""

_JOINS = """
    LEFT JOIN sample_states st ON st.sample_id = s.id
    LEFT JOIN suggestions g ON g.sample_id = s.id
    LEFT JOIN sample_notes n ON n.sample_id = s.id
"""


class Samples:
    """The samples of all projects, with what was decided about each and what is suggested.

    Args:
        folder: for the files that are on their way to somebody.
    """

    def __init__(self, database: Database, projects: Projects, lists: SampleLists, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._projects = projects
        self._lists = lists

    async def get(self, sample_id: int, caller: Caller) -> Sample:
        """One sample.

        Raises:
            NotFound: there is none with this id for the caller.
        """
        found = await self._database.read(lambda cursor: read_sample(cursor, sample_id))
        self._projects.require(found.project_id, caller, "read", f"sample {sample_id}")
        return found

    async def holds(self, digest: str, caller: Caller) -> bool:
        """Whether the image of this digest is that of a sample that the caller may see."""
        return await is_held(self._database, "samples", "image", digest, caller)

    async def page(
        self,
        project: Project,
        samples: SampleFilter,
        order: SampleOrder,
        limit: int,
        offset: int,
        caller: Caller,
        preview: int | None = None,
    ) -> Page[Sample]:
        """Samples that a filter means.

        Args:
            preview: texts are cut after so many characters.

        Raises:
            NotFound: there is no selection of this name.
            Conflict: the project is not one of labeling.
        """
        require(caller, "read", project)

        def work(cursor: Cursor) -> Page[Sample]:
            ids, total = self._lists.page(cursor, project, samples, order, limit, offset)
            items = tuple(read_samples(cursor, ids, preview))
            return Page(items=items, total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def count(self, project: Project, samples: SampleFilter, caller: Caller) -> SampleCount:
        """How many samples a filter means.

        Raises:
            NotFound: there is no selection of this name.
        """
        require(caller, "read", project)
        count = await self._database.read(lambda cursor: self._lists.count(cursor, project, samples))
        return SampleCount(count=count)

    async def write_table(
        self,
        project: Project,
        samples: SampleFilter,
        order: SampleOrder,
        limit: int | None,
        offset: int,
        caller: Caller,
    ) -> Path:
        """Write samples to a file as an Arrow IPC stream: `id`, `status`, then `text`, `image` or a column for each feature, then `label`.

        Where numbers are told, the column is `number` in place of `label`; where more than one class can be, the
        columns are `classes` and `content` (see `Value`). After them come `suggested`, `confidence`, `name`, `group`, `split` and `note`.

        Returns:
            A new file, which is the caller's to remove.

        Raises:
            NotFound: there is no selection of this name.
            Conflict: the project is not one of labeling.
        """
        require(caller, "read", project)
        content = CONTENT_COLUMN[project.require_task()]

        def work(cursor: Cursor) -> Path:
            # Not within the snapshot: a list that is kept must not be older than what was heard of.
            ids = self._lists.ids(cursor, project, samples, order)
            wanted = ids[offset : None if limit is None else offset + limit]
            with cursor.snapshot():
                # Only all rows together say of which type a feature is.
                most = max(len(wanted) if content == "fields" else TABLE_ROWS, 1)
                first = _table(cursor, project, wanted[:most])
                parts = (
                    _table(cursor, project, wanted[at : at + most]) for at in range(most, len(wanted), most)
                )
                return write_stream(self._folder, first.schema, chain([first], parts))

        return await self._database.read(work, long=len(samples.search) > 0 or limit is None)

    async def map(self, project: Project, limit: int, caller: Caller) -> pa.Table:
        """Where the samples lie on the map: `sample_id`, `x`, `y`, `status`, `label` and `suggested` (the first class each).

        Of more than `limit` the same random part each time; the table's metadata has how many there are in all under
        `total`. It is empty as long as the samples are not embedded.

        Raises:
            Conflict: the project is not one of labeling.
        """
        require(caller, "read", project)
        project.require_task()

        def work(cursor: Cursor) -> pa.Table:
            placed = "FROM embeddings e WHERE e.project_id = ? AND e.x IS NOT NULL AND e.y IS NOT NULL"
            total = cursor.value(f"SELECT count(*) {placed}", project.id)
            found = cursor.table(
                f"WITH shown AS MATERIALIZED (SELECT e.sample_id, e.x, e.y {placed} "
                f"ORDER BY hash(e.sample_id) LIMIT {limit:d}) "
                "SELECT p.sample_id, p.x, p.y, coalesce(st.status, 'unlabeled') AS status, "
                "coalesce(st.label, st.classes[1]) AS label, coalesce(g.label, g.classes[1]) AS suggested "
                "FROM shown p LEFT JOIN sample_states st ON st.sample_id = p.sample_id "
                "LEFT JOIN suggestions g ON g.sample_id = p.sample_id ORDER BY p.sample_id",
                project.id,
            )
            return found.replace_schema_metadata({"total": str(total)})

        return await self._database.read(work, long=True)


def read_sample(cursor: Cursor, sample_id: int) -> Sample:
    """One sample.

    Raises:
        NotFound: there is none with this id.
    """
    found = read_samples(cursor, [sample_id])
    if not found:
        raise NotFound(f"There is no sample {sample_id}.")
    return found[0]


def read_samples(cursor: Cursor, identities: Sequence[int], preview: int | None = None) -> list[Sample]:
    """The samples with these ids, in this order; those that are not there are left out.

    Args:
        preview: texts that are longer are cut after so many characters, and end with `…`.
    """
    columns = _COLUMNS.format(text="s.text" if preview is None else _cut(preview))
    if len(identities) == 1:
        rows = cursor.rows(f"SELECT {columns} FROM samples s {_JOINS} WHERE s.id = ?", identities[0])
    else:
        # Joining a list is twice as fast as `IN` with as many parameters.
        rows = cursor.rows(
            "WITH wanted AS MATERIALIZED (SELECT unnest(?::BIGINT[]) AS id) "
            f"SELECT {columns} FROM wanted JOIN samples s ON s.id = wanted.id {_JOINS}",
            list(identities),
        )
    by_id = {row["id"]: _record(row) for row in rows}
    return [by_id[identity] for identity in identities if identity in by_id]


def _table(cursor: Cursor, project: Project, ids: npt.NDArray[np.int64]) -> pa.Table:
    """The samples with these ids, in this order, with the columns that `Samples.write_table` names."""
    content = CONTENT_COLUMN[project.require_task()]
    value, suggested = "st.classes, st.content::VARCHAR AS content", "g.content::VARCHAR"
    if project.kind == "label":
        value, suggested = "st.label", "g.label"
    elif project.kind == "number":
        value, suggested = f"{number_of('st')} AS number", number_of("g")
    with cursor.registered({"wanted_samples": pa.table({"id": ids, "place": np.arange(len(ids))})}):
        found = cursor.table(
            f"SELECT s.id, coalesce(st.status, 'unlabeled') AS status, s.{content}, {value}, "
            f'{suggested} AS suggested, g.confidence, s.name, s.group_name AS "group", s.split, n.note '
            f"FROM wanted_samples w JOIN samples s ON s.id = w.id {_JOINS} ORDER BY w.place"
        )
    if content != "fields":
        return found
    own = found.column_names.index("suggested")
    expanded = expand_fields(found.select(found.column_names[:own]))
    # A feature may be called as one of these, which is told by the sample, too.
    for name in found.column_names[own:]:
        if name not in expanded.column_names:
            expanded = expanded.append_column(name, found[name])
    return expanded


def _cut(characters: int) -> str:
    # In most texts there are fewer bytes than that: their characters need not be counted.
    return (
        f"CASE WHEN strlen(s.text) > {characters:d} AND length(s.text) > {characters:d} "
        f"THEN left(s.text, {characters:d}) || '…' ELSE s.text END"
    )


def expand_fields(table: pa.Table) -> pa.Table:
    """A table whose JSON column `fields` is replaced by one typed column for each feature."""
    position = table.column_names.index("fields")
    columns = feature_columns(table["fields"].to_pylist())
    taken = set(table.column_names) - {"fields"}
    result = table.remove_column(position)
    for name, values in reversed(columns.items()):
        # A feature may have the name of one of our own columns.
        result = result.add_column(position, f"feature_{name}" if name in taken else name, values)
    return result


def _record(row: dict[str, Any]) -> Sample:
    suggestion = None
    if row["confidence"] is not None:
        suggestion = Suggestion(
            **value_fields(row["suggested"], row["suggested_content"]),
            confidence=row["confidence"],
            uncertainty=row["uncertainty"],
            source=row["source"],
        )
    return Sample(
        id=row["id"],
        project_id=row["project_id"],
        status=row["status"],
        text=row["text"],
        image=row["image"],
        row=None if row["fields"] is None else orjson.loads(row["fields"]),
        group=row["group_name"],
        name=row["name"],
        split=row["split"],
        note=row["note"],
        **value_fields(row["label"], row["content"]),
        suggestion=suggestion,
    )
