"""Samples that are remembered under a name."""

from typing import Any

from modelship_lab.records.errors import Conflict, NotFound
from modelship_lab.records.events import EventType
from modelship_lab.records.labeling import NewSelection, Project, SampleFilter, SampleSelection
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.sample_filter import identities
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now


class Selections:
    """The saved selections of all projects. Each is frozen: it names the samples that were meant when it was saved."""

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database = database
        self._events = events

    async def save(self, project: Project, new: NewSelection, caller: Caller) -> SampleSelection:
        """Remember the samples that a filter means now.

        Raises:
            Conflict: there is a selection of this name.
            NotFound: the filter names a selection that is not there.
        """
        require(caller, "label", project)

        def work(transaction: Transaction) -> SampleSelection:
            if _id_of(transaction, project, new.name) is not None:
                raise Conflict(
                    f"Project '{project.name}' has a selection '{new.name}' already: delete it, or take another name."
                )
            require_selection(transaction, project, new.samples)
            return remember(
                transaction, self._events, project, new, *identities(project, new.samples), caller
            )

        return await self._database.write(work)

    async def all(self, project: Project, caller: Caller) -> list[SampleSelection]:
        """The selections of a project, by name."""
        require(caller, "read", project)
        rows = await self._database.read(
            lambda cursor: cursor.rows(
                "SELECT name, project_id, count, samples FROM selections WHERE project_id = ? ORDER BY name",
                project.id,
            )
        )
        return [
            SampleSelection(**{**row, "samples": SampleFilter.model_validate_json(row["samples"])})
            for row in rows
        ]

    async def delete(self, project: Project, name: str, caller: Caller) -> None:
        """Forget a selection; its samples stay as they are.

        Raises:
            NotFound: there is none of this name.
        """
        require(caller, "label", project)

        def work(transaction: Transaction) -> None:
            identity = _id_of(transaction, project, name)
            if identity is None:
                raise _missing(project, name)
            _forget(transaction, identity)
            _tell(transaction, self._events, "selections.deleted", project, name, caller)

        await self._database.write(work)


def remember(
    transaction: Transaction,
    events: EventLog,
    project: Project,
    new: NewSelection,
    sql: str,
    parameters: list[Any],
    caller: Caller,
) -> SampleSelection:
    """Save a selection of the samples whose `id` a query gives; one of its name gives way."""
    if (earlier := _id_of(transaction, project, new.name)) is not None:
        _forget(transaction, earlier)
    identity = transaction.value(
        "INSERT INTO selections (project_id, name, samples, count, author, created_at) "
        "VALUES (?, ?, ?, 0, ?, ?) RETURNING id",
        project.id,
        new.name,
        new.samples.model_dump_json(exclude_defaults=True),
        caller.name,
        now(),
    )
    transaction.execute(
        f"INSERT INTO selection_samples SELECT ?, ?, id FROM ({sql}) ORDER BY id",
        identity,
        project.id,
        *parameters,
    )
    count = transaction.value("SELECT count(*) FROM selection_samples WHERE selection_id = ?", identity)
    transaction.execute("UPDATE selections SET count = ? WHERE id = ?", count, identity)
    _tell(transaction, events, "selections.saved", project, new.name, caller)
    return SampleSelection(name=new.name, project_id=project.id, count=count, samples=new.samples)


def _forget(transaction: Transaction, identity: int) -> None:
    transaction.execute("DELETE FROM selection_samples WHERE selection_id = ?", identity)
    transaction.execute("DELETE FROM selections WHERE id = ?", identity)


def _tell(
    transaction: Transaction, events: EventLog, type: EventType, project: Project, name: str, caller: Caller
) -> None:
    events.record(transaction, type, f"project:{project.id}", caller, project.owner_id, selection=name)


def require_selection(cursor: Cursor, project: Project, samples: SampleFilter) -> None:
    """Refuse a filter that names a selection which is not there.

    Raises:
        NotFound: so it is.
    """
    if samples.selection is not None and _id_of(cursor, project, samples.selection) is None:
        raise _missing(project, samples.selection)


def _id_of(cursor: Cursor, project: Project, name: str) -> int | None:
    found: int | None = cursor.value(
        "SELECT id FROM selections WHERE project_id = ? AND name = ?", project.id, name
    )
    return found


def _missing(project: Project, name: str) -> NotFound:
    return NotFound(f"Project '{project.name}' has no selection '{name}'.")
