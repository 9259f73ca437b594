"""Projects: created, found by id or name, changed, deleted."""

from difflib import get_close_matches

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound
from modelship_lab.records.labeling import NewProject, Project, ProjectChange
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.progress import ProgressCounts
from modelship_lab.server.labeling.queue import LabelQueue
from modelship_lab.server.storage.database import Database, Transaction, now

_TABLES = ("suggestions", "sample_states", "labels", "samples", "imports", "snapshots")


class Projects:
    """The projects of the lab.

    All of them are kept in memory, replaced as a whole after each commit that changes one: nearly
    every request names a project.
    """

    def __init__(
        self, database: Database, events: EventLog, counts: ProgressCounts, queue: LabelQueue
    ) -> None:
        self._database = database
        self._events = events
        self._counts = counts
        self._queue = queue
        found = database.read_now(lambda cursor: cursor.rows("SELECT * FROM projects ORDER BY id"))
        self._projects = {row["id"]: Project(**row) for row in found}

    def get(self, project: str | int) -> Project:
        """The project with this id or name.

        Raises:
            NotFound: there is none; the message names the likeliest one that was meant.
        """
        named = str(project)
        projects = self._projects
        if named.isdecimal() and len(named) <= 18 and int(named) in projects:
            return projects[int(named)]
        for one in projects.values():
            if one.name == named:
                return one
        close = get_close_matches(named, [one.name for one in projects.values()], n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise NotFound(f"There is no project '{named[:200]}'.{hint}")

    def page(self, search: str, limit: int, offset: int) -> Page[Project]:
        """Projects whose name contains `search` in any case, the newest first."""
        wanted = search.casefold()
        found = [one for one in self._projects.values() if wanted in one.name.casefold()]
        found.sort(key=lambda one: -one.id)
        return Page(items=tuple(found[offset : offset + limit]), total=len(found), limit=limit, offset=offset)

    async def create(self, new: NewProject, caller: Caller) -> Project:
        """Create a project.

        Raises:
            Conflict: there is one of this name.
            InvalidInput: the name consists of digits, as an id does.
        """
        name = _usable(new.name)

        def work(transaction: Transaction) -> Project:
            _require_free(transaction, name)
            moment = now()
            row = transaction.row(
                "INSERT INTO projects (name, task, classes, description, created_at, updated_at) "
                "VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
                name,
                new.task,
                list(new.classes),
                new.description,
                moment,
                moment,
            )
            assert row is not None
            project = Project(**row)
            self._events.record(
                transaction,
                "project.created",
                f"project:{project.id}",
                caller,
                project.owner_id,
                name=name,
                task=new.task,
            )
            transaction.after_commit(lambda: self._keep(project))
            return project

        return await self._database.write(work)

    async def change(self, project: Project, change: ProjectChange, caller: Caller) -> Project:
        """Rename a project or change its description.

        Raises:
            Conflict: another one has the name.
            InvalidInput: the name consists of digits, as an id does.
        """
        name = None if change.name is None else _usable(change.name)

        def work(transaction: Transaction) -> Project:
            if name is not None:
                _require_free(transaction, name, but=project.id)
            row = transaction.row(
                "UPDATE projects SET name = coalesce(?, name), description = coalesce(?, description), "
                "updated_at = ? WHERE id = ? RETURNING *",
                name,
                change.description,
                now(),
                project.id,
            )
            if row is None:
                raise NotFound(f"There is no project {project.id}.")
            changed = Project(**row)
            self._events.record(
                transaction,
                "project.changed",
                f"project:{project.id}",
                caller,
                project.owner_id,
                changed=sorted(change.model_dump(exclude_none=True)),
                name=changed.name,
            )
            transaction.after_commit(lambda: self._keep(changed))
            return changed

        return await self._database.write(work)

    async def delete(self, project: Project, caller: Caller) -> None:
        """Delete a project with its samples, labels, suggestions, imports and snapshots. Its runs stay."""

        def work(transaction: Transaction) -> None:
            for table in _TABLES:
                transaction.execute(f"DELETE FROM {table} WHERE project_id = ?", project.id)
            transaction.execute("DELETE FROM projects WHERE id = ?", project.id)
            self._events.record(
                transaction,
                "project.deleted",
                f"project:{project.id}",
                caller,
                project.owner_id,
                name=project.name,
            )
            transaction.after_commit(lambda: self._forget(project.id))

        await self._database.write(work)

    def _keep(self, project: Project) -> None:
        self._projects = {**self._projects, project.id: project}

    def _forget(self, project_id: int) -> None:
        self._projects = {key: one for key, one in self._projects.items() if key != project_id}
        self._counts.forget(project_id)
        self._queue.refresh(project_id)


def _usable(name: str) -> str:
    stripped = name.strip()
    if stripped.isdecimal():
        raise InvalidInput(
            f"'{stripped}' cannot be a project's name: it would be mistaken for an id. Add a letter.",
            [{"field": "name", "reason": "consists of digits only"}],
        )
    return stripped


def _require_free(transaction: Transaction, name: str, but: int = 0) -> None:
    if transaction.value("SELECT id FROM projects WHERE name = ? AND id <> ?", name, but) is not None:
        raise Conflict(f"There is a project '{name}' already. Choose another name, or use that one.")
