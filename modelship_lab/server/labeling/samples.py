"""Samples: one by one, as pages, and all of them as a table."""

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa

from modelship_lab.records.base import Page, Task
from modelship_lab.records.errors import NotFound
from modelship_lab.records.labeling import Project, Sample, SampleStatus, Suggestion, value_fields
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.features import feature_columns
from modelship_lab.server.labeling.ownership import is_held, require
from modelship_lab.server.labeling.projects import Projects
from modelship_lab.server.storage.database import Cursor, Database

_COLUMNS = """
    s.id, s.project_id, coalesce(st.status, 'unlabeled') AS status, s.text, s.image, s.fields,
    s.group_name, s.name, s.split, st.label, st.content, n.note,
    g.label AS suggested, g.content AS suggested_content, g.confidence, g.uncertainty, g.source
"""

_JOINS = """
    LEFT JOIN sample_states st ON st.sample_id = s.id
    LEFT JOIN suggestions g ON g.sample_id = s.id
    LEFT JOIN sample_notes n ON n.sample_id = s.id
"""


class Samples:
    """The samples of all projects, with what was decided about each and what is suggested."""

    def __init__(self, database: Database, projects: Projects) -> None:
        self._database = database
        self._projects = projects

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
        status: SampleStatus | None,
        label: str | None,
        search: str,
        limit: int,
        offset: int,
        caller: Caller,
    ) -> Page[Sample]:
        """Samples in the order of their import; `search` looks into texts and fields in any case."""
        require(caller, "read", project)
        where, parameters = _filter(project, status, label, search)

        def work(cursor: Cursor) -> Page[Sample]:
            states = "LEFT JOIN sample_states st ON st.sample_id = s.id"
            total = cursor.value(f"SELECT count(*) FROM samples s {states} WHERE {where}", *parameters)
            identities = cursor.column(
                f"SELECT s.id FROM samples s {states} WHERE {where} "
                f"ORDER BY s.id LIMIT {limit:d} OFFSET {offset:d}",
                *parameters,
            )
            items = tuple(read_samples(cursor, identities))
            return Page(items=items, total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def table(
        self,
        project: Project,
        status: SampleStatus | None,
        label: str | None,
        search: str,
        limit: int | None,
        offset: int,
        caller: Caller,
    ) -> pa.Table:
        """Samples as a table: `id`, `status`, then `text`, `image` or a column for each feature, then `label`.

        Raises:
            Conflict: the project is not one of labeling.
        """
        require(caller, "read", project)
        where, parameters = _filter(project, status, label, search)
        content = CONTENT_COLUMN[project.require_task()]
        cut = "" if limit is None else f"LIMIT {limit:d}"

        def work(cursor: Cursor) -> pa.Table:
            found = cursor.table(
                f"SELECT s.id, coalesce(st.status, 'unlabeled') AS status, s.{content}, st.label "
                "FROM samples s LEFT JOIN sample_states st ON st.sample_id = s.id "
                f"WHERE {where} ORDER BY s.id {cut} OFFSET {offset:d}",
                *parameters,
            )
            return expand_fields(found) if content == "fields" else found

        return await self._database.read(work)


CONTENT_COLUMN: dict[Task, str] = {
    "text_classification": "text",
    "image_classification": "image",
    "tabular_classification": "fields",
    "token_classification": "text",
    "object_detection": "image",
}
"""Where the content of a sample stands in the table `samples`."""


def read_sample(cursor: Cursor, sample_id: int) -> Sample:
    """One sample.

    Raises:
        NotFound: there is none with this id.
    """
    found = read_samples(cursor, [sample_id])
    if not found:
        raise NotFound(f"There is no sample {sample_id}.")
    return found[0]


def read_samples(cursor: Cursor, identities: Sequence[int]) -> list[Sample]:
    """The samples with these ids, in this order; those that are not there are left out."""
    if len(identities) == 1:
        rows = cursor.rows(f"SELECT {_COLUMNS} FROM samples s {_JOINS} WHERE s.id = ?", identities[0])
    else:
        # Joining a list is twice as fast as `IN` with as many parameters.
        rows = cursor.rows(
            "WITH wanted AS MATERIALIZED (SELECT unnest(?::BIGINT[]) AS id) "
            f"SELECT {_COLUMNS} FROM wanted JOIN samples s ON s.id = wanted.id {_JOINS}",
            list(identities),
        )
    by_id = {row["id"]: _record(row) for row in rows}
    return [by_id[identity] for identity in identities if identity in by_id]


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
        **value_fields(row["label"], row["content"]),
        group=row["group_name"],
        name=row["name"],
        split=row["split"],
        note=row["note"],
        suggestion=suggestion,
    )


def _filter(
    project: Project, status: SampleStatus | None, label: str | None, search: str
) -> tuple[str, list[Any]]:
    conditions = ["s.project_id = ?"]
    parameters: list[Any] = [project.id]
    if status is not None:
        conditions.append("coalesce(st.status, 'unlabeled') = ?")
        parameters.append(status)
    if label is not None:
        conditions.append("st.label = ?")
        parameters.append(label)
    if search:
        # What is typed is looked for as it stands, its `%` and `_` too.
        escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        conditions.append("(s.text ILIKE ? ESCAPE '\\' OR s.fields::VARCHAR ILIKE ? ESCAPE '\\')")
        parameters += [f"%{escaped}%", f"%{escaped}%"]
    return " AND ".join(conditions), parameters
