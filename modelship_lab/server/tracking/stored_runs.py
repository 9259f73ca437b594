"""Runs as they are stored, for all who read or change them."""

from typing import Any

import orjson

from modelship_lab.records.base import as_id
from modelship_lab.records.errors import NotFound
from modelship_lab.records.tracking import Run
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller, Ownership
from modelship_lab.server.storage.database import Cursor

FROM = "FROM runs r LEFT JOIN projects p ON p.id = r.project_id"

IS_PUBLIC = "coalesce(p.is_public, false)"
"""A run is as public as its project."""

_COLUMNS = f"""
    r.id, r.name, r.project_id, p.name AS project, r.recipe, r.status, r.params, r.tags, r.notes,
    r.snapshot_id, r.environment, r.summary, r.error, r.bundle, r.stop_requested, r.heartbeats,
    r.owner_id, {IS_PUBLIC} AS is_public, r.started_at, r.ended_at, r.heartbeat_at, r.updated_at,
    r.parent_id, r.run_group AS "group"
"""

SELECT = f"SELECT {_COLUMNS}, (SELECT count(*) FROM runs c WHERE c.parent_id = r.id) AS children {FROM}"


def run_of(cursor: Cursor, run_id: int) -> Run:
    # To count the children of a number, and not of what is found, takes a third of the time.
    row = cursor.row(
        f"SELECT {_COLUMNS}, (SELECT count(*) FROM runs WHERE parent_id = ?) AS children {FROM} WHERE r.id = ?",
        run_id,
        run_id,
    )
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    return record_of(row)


def record_of(row: dict[str, Any]) -> Run:
    for name in ("params", "environment", "summary"):
        row[name] = orjson.loads(row[name])
    return Run(**row)


def project_of(cursor: Cursor, project: int | str, caller: Caller) -> Ownership:
    """A project given by id or name.

    Raises:
        NotFound: there is none for the caller.
    """
    named, project_id = str(project), as_id(project)
    rows = cursor.rows(
        f"SELECT id, owner_id, is_public FROM projects WHERE {'name' if project_id is None else 'id'} = ?",
        named if project_id is None else project_id,
    )
    found = policy.meant(caller, [Ownership(**row) for row in rows])
    if found is None:
        raise NotFound(f"There is no project '{named[:200]}'.")
    return found
