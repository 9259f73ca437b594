"""Projects: created, found by id or name, changed, deleted."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any

from modelship_lab.records.base import Page, as_id
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound
from modelship_lab.records.identity import Permission
from modelship_lab.records.labeling import LabelingSettings, NewProject, Project, ProjectChange
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.storage.database import Database, Transaction, now

COMPARED = 100
"""Newest names among which one is looked for that may have been meant."""

COMPARED_LENGTH = 50
"""Longer names are not compared: the time that takes grows with its square, and everybody waits for it."""

_TABLES = (
    "suggestions",
    "sample_states",
    "sample_notes",
    "labels",
    "gold",
    "requests",
    "selection_samples",
    "selections",
    "embeddings",
    "samples",
    "imports",
    "jobs",
    "snapshots",
)


_SELECT = """
    SELECT p.*, coalesce((SELECT list(a.username ORDER BY a.username) FROM accounts a
                          WHERE list_contains(p.labeler_ids, a.id)), []) AS labelers
    FROM projects p
"""


class Projects:
    """The projects of the lab.

    All of them are kept in memory, replaced as a whole after each commit that changes one: nearly
    every request names a project.

    Args:
        forget: called after the commit, on the writer thread, with the id of a deleted project.
        changed: the same, with the id of one that was changed.
    """

    def __init__(
        self,
        database: Database,
        events: EventLog,
        forget: Sequence[Callable[[int], None]] = (),
        changed: Sequence[Callable[[int], None]] = (),
    ) -> None:
        self._database = database
        self._events = events
        self._others = forget
        self._changed = changed
        found = database.read_now(lambda cursor: cursor.rows(f"{_SELECT} ORDER BY p.id"))
        self._projects = {row["id"]: _record(row) for row in found}

    def get(self, project: str | int, caller: Caller, permission: Permission = "read") -> Project:
        """The project with this id or name, for what `permission` lets the caller do with it.

        Of several with one name it is the caller's own, else the oldest that they may see.

        Raises:
            NotFound: there is none for them; the message names the likeliest one that was meant.
            PermissionDenied: they may only read it.
        """
        named, project_id = str(project), as_id(project)
        projects = self._projects
        if project_id is None:
            found = policy.meant(caller, [one for one in projects.values() if one.name == named])
        else:
            by_id = projects.get(project_id)
            found = policy.meant(caller, [by_id] if by_id is not None else [])
        if found is None:
            raise NotFound(f"There is no project '{named[:200]}'.{self._hint(named, caller)}")
        require(caller, permission, found)
        return found

    def require(self, project_id: int, caller: Caller, permission: Permission, what: str) -> Project:
        """Let the caller read or change something that lies in a project, e.g. `sample 7`; returns the project.

        Raises:
            NotFound: the caller may not see the project, or it was deleted meanwhile.
            PermissionDenied: they may only read it.
        """
        project = self._projects.get(project_id)
        if project is None:
            raise NotFound(f"There is no {what}.")
        policy.require(caller, permission, project, what)
        return project

    def _hint(self, named: str, caller: Caller) -> str:
        if len(named) > COMPARED_LENGTH:
            return ""
        names = (one.name for one in reversed(self._projects.values()) if policy.may_see(caller, one))
        short = islice((name for name in names if len(name) <= COMPARED_LENGTH), COMPARED)
        close = get_close_matches(named, short, n=1)
        return f" Did you mean '{close[0]}'?" if close else ""

    def page(self, search: str, limit: int, offset: int, caller: Caller) -> Page[Project]:
        """The caller's and public projects whose name contains `search` in any case, the newest first."""
        wanted = search.casefold()
        found = [
            one
            for one in self._projects.values()
            if policy.may_see(caller, one) and wanted in one.name.casefold()
        ]
        found.sort(key=lambda one: -one.id)
        return Page(items=tuple(found[offset : offset + limit]), total=len(found), limit=limit, offset=offset)

    async def create(self, new: NewProject, caller: Caller) -> Project:
        """Create a project.

        Raises:
            Conflict: the caller has one of this name.
            InvalidInput: the name consists of digits, as an id does.
        """
        caller.require("write")
        name = _usable(new.name)

        def work(transaction: Transaction) -> Project:
            _require_free(transaction, name, caller.account_id)
            moment = now()
            row = transaction.row(
                "INSERT INTO projects (name, task, classes, multilabel, description, settings, owner_id, "
                "is_public, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
                name,
                new.task,
                list(new.classes),
                new.multilabel,
                new.description,
                _text(new.settings),
                caller.account_id,
                new.is_public,
                moment,
                moment,
            )
            assert row is not None
            project = _record(row)
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
        """Change fields of a project.

        Raises:
            Conflict: another one of its owner's has the name, or it has a task already.
            InvalidInput: the name consists of digits, as an id does; settings name classes, or labelers accounts, that
                there are not.
        """
        require(caller, "write", project)
        name = None if change.name is None else _usable(change.name)

        def work(transaction: Transaction) -> Project:
            before = transaction.row(f"{_SELECT} WHERE p.id = ?", project.id)
            if before is None:
                raise NotFound(f"There is no project {project.id}.")
            if name is not None:
                _require_free(transaction, name, project.owner_id, but=project.id)
            if change.task is not None and before["task"] is not None:
                raise Conflict(
                    f"Project '{before['name']}' has its task and classes already, and they stay as they are. "
                    "Create another project for others."
                )
            present = _record(before).model_copy(
                update={"classes": change.classes or tuple(before["classes"])}
            )
            try:
                settings = present.changed_settings(change.settings or LabelingSettings())
            except ValueError as error:
                raise InvalidInput(f"{error}.", [{"field": "settings", "reason": str(error)}]) from None
            labeler_ids = (
                before["labeler_ids"] if change.labelers is None else _accounts(transaction, change.labelers)
            )
            transaction.execute(
                "UPDATE projects SET name = coalesce(?, name), description = coalesce(?, description), "
                "is_public = coalesce(?, is_public), task = coalesce(?, task), classes = ?, "
                "multilabel = multilabel OR ?, settings = ?, labeler_ids = ?, updated_at = ? WHERE id = ?",
                name,
                change.description,
                change.is_public,
                change.task,
                list(present.classes),
                change.multilabel,
                _text(settings),
                labeler_ids,
                now(),
                project.id,
            )
            row = transaction.row(f"{_SELECT} WHERE p.id = ?", project.id)
            assert row is not None
            changed = _record(row)
            self._events.record(
                transaction,
                "project.changed",
                f"project:{project.id}",
                caller,
                project.owner_id,
                changed=sorted(change.model_dump(exclude_defaults=True)),
                name=changed.name,
            )
            transaction.after_commit(lambda: self._replace(changed))
            return changed

        return await self._database.write(work)

    async def delete(self, project: Project, caller: Caller) -> None:
        """Delete a project with its samples, labels, suggestions, imports and snapshots.

        Its runs stay, in no project; they belong to its owner.
        """
        require(caller, "write", project)

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

    def _replace(self, project: Project) -> None:
        self._keep(project)
        for changed in self._changed:
            changed(project.id)

    def _forget(self, project_id: int) -> None:
        self._projects = {key: one for key, one in self._projects.items() if key != project_id}
        for forget in self._others:
            forget(project_id)


def _accounts(transaction: Transaction, names: Sequence[str]) -> list[int]:
    """The ids of accounts."""
    found = {
        row["username"]: row["id"]
        for row in transaction.rows(
            "SELECT id, username FROM accounts WHERE username IN (SELECT unnest(?::VARCHAR[]))", list(names)
        )
    }
    unknown = [name for name in names if name not in found]
    if unknown:
        raise InvalidInput(
            f"There is no account '{unknown[0][:200]}'.",
            [{"field": "labelers", "reason": f"no account '{name[:200]}'"} for name in unknown],
        )
    return sorted(found.values())


def _record(row: dict[str, Any]) -> Project:
    return Project(**{**row, "settings": LabelingSettings.model_validate_json(row["settings"])})


def _text(settings: LabelingSettings) -> str:
    return settings.model_dump_json(exclude_defaults=True)


def _usable(name: str) -> str:
    if name.isdecimal():
        raise InvalidInput(
            f"'{name}' cannot be a project's name: it would be mistaken for an id. Add a letter.",
            [{"field": "name", "reason": "consists of digits only"}],
        )
    return name


def _require_free(transaction: Transaction, name: str, owner_id: int, but: int = 0) -> None:
    taken = transaction.value(
        "SELECT id FROM projects WHERE name = ? AND owner_id = ? AND id <> ?", name, owner_id, but
    )
    if taken is not None:
        raise Conflict(f"There is a project '{name}' already. Choose another name, or use that one.")
