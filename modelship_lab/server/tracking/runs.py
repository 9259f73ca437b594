"""Runs: created, found, changed, asked to stop, deleted."""

from typing import Any

import orjson
import pyarrow as pa

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound
from modelship_lab.records.identity import Permission
from modelship_lab.records.labeling import Project
from modelship_lab.records.tracking import (
    ENDED,
    DeletedRuns,
    NewRun,
    ResumedRun,
    ResumeRun,
    Run,
    RunChange,
    RunProcess,
    WantedRuns,
)
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller, Ownership
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now, placeholders
from modelship_lab.server.tracking.liveness import goes_on
from modelship_lab.server.tracking.nesting import home_of, with_descendants
from modelship_lab.server.tracking.recent_runs import RecentRuns
from modelship_lab.server.tracking.run_values import store_values
from modelship_lab.server.tracking.stored_runs import FROM, IS_PUBLIC, SELECT, project_of, record_of, run_of


class Runs:
    """The runs of the lab.

    A run belongs to the owner of its project, or to who started it when it is in none.
    """

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database = database
        self._events = events
        self._recent = RecentRuns()
        events.listen(self._recent.hear)

    async def create(self, new: NewRun, caller: Caller) -> Run:
        """Start a run. The same `key` gives the same run, so that a client may ask again after a lost answer,
        and a job that is put into the queue again goes on with its run.

        Raises:
            NotFound: no such project, snapshot or parent for the caller.
            PermissionDenied: the project or the parent is somebody else's.
            InvalidInput: the parent is nested too deep.
        """
        caller.require("train")

        def work(transaction: Transaction) -> Run:
            if new.key:
                earlier = transaction.rows(
                    "SELECT id, owner_id, false AS is_public FROM runs WHERE key = ?", new.key
                )
                for found in earlier:
                    if policy.may_change(caller, Ownership(**found)):
                        run = run_of(transaction, found["id"])
                        executed_by = _process_of(transaction, run.id)
                        # Of several processes with one key, the first one's life is that of the run.
                        if new.process is None or goes_on(run, executed_by):
                            return run
                        return self._resume(transaction, run, new.process, new.environment, caller)
            project_id, owner_id = home_of(transaction, new, caller)
            moment = now()
            identity = transaction.value(
                """INSERT INTO runs (key, name, project_id, owner_id, recipe, status, params, tags,
                                     snapshot_id, environment, heartbeats, author, started_at, heartbeat_at,
                                     updated_at, parent_id, run_group, notes, process)
                   VALUES (?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
                new.key,
                new.name or new.recipe or "run",
                project_id,
                owner_id,
                new.recipe,
                _json("params", new.params),
                list(new.tags),
                new.snapshot_id,
                _json("environment", new.environment),
                new.heartbeats,
                caller.name,
                moment if new.started_at is None else new.started_at.replace(tzinfo=None),
                moment,
                moment,
                new.parent_id,
                new.group,
                new.notes,
                None if new.process is None else new.process.model_dump(),
            )
            store_values(transaction, identity, "param", new.params, {})
            run = run_of(transaction, identity)
            self._events.record(
                transaction,
                "run.created",
                f"run:{identity}",
                caller,
                run.owner_id,
                project_id=run.project_id,
                parent_id=run.parent_id,
                name=new.name,
            )
            transaction.after_commit(lambda: self._recent.committed(run))
            if run.parent_id is not None:
                # It has a child more.
                self._forget_later(transaction, run.parent_id)
            return run

        return await self._database.write(work)

    async def get(self, run_id: int, caller: Caller, permission: Permission = "read") -> Run:
        """One run, for what `permission` lets the caller do with it. Those asked for lately are in memory.

        Raises:
            NotFound: there is none with this id for them.
            PermissionDenied: they may only read it.
        """
        run = self._recent.get(run_id)
        if run is None:
            generation = self._recent.generation
            run = await self._database.read(lambda cursor: run_of(cursor, run_id))
            self._recent.offer(run, generation)
        policy.require(caller, permission, run, f"run {run_id}")
        return run

    async def page(self, wanted: WantedRuns, limit: int, offset: int, caller: Caller) -> Page[Run]:
        """The runs that the caller may see, the newest first.

        Raises:
            NotFound: no such project for them.
        """

        def work(cursor: Cursor) -> Page[Run]:
            where, parameters = _filter(cursor, wanted, caller)
            total = cursor.value(f"SELECT count(*) {FROM} {where}", *parameters)
            found = cursor.rows(
                f"{SELECT} {where} ORDER BY r.id DESC LIMIT {limit:d} OFFSET {offset:d}", *parameters
            )
            items = tuple(record_of(row) for row in found)
            return Page(items=items, total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def table(self, wanted: WantedRuns, caller: Caller) -> pa.Table:
        """`page` with all runs as an Arrow table; params, environment and summary are JSON strings."""

        def work(cursor: Cursor) -> pa.Table:
            where, parameters = _filter(cursor, wanted, caller)
            return cursor.table(f"{SELECT} {where} ORDER BY r.id DESC", *parameters)

        return await self._database.read(work)

    async def change(self, run_id: int, change: RunChange, caller: Caller) -> Run:
        """Change fields of a run; a status that ends it sets the end's time, unless that is given, too.

        Raises:
            NotFound: there is none with this id for the caller.
            PermissionDenied: they may only read it.
        """

        def work(transaction: Transaction) -> Run:
            before = run_of(transaction, run_id)
            policy.require(caller, "train", before, f"run {run_id}")
            given = change.model_dump(exclude_none=True)
            moment = now()
            columns: dict[str, Any] = {"heartbeat_at": moment, "updated_at": moment}
            if change.status is not None:
                columns["ended_at"] = None if change.status == "running" else moment
            for name, value in given.items():
                if name == "params":
                    json = _json(name, {**before.params, **value})
                    store_values(transaction, run_id, "param", value, before.params)
                    value = json
                elif name == "summary":
                    json = _json(name, {**before.summary, **value})
                    store_values(transaction, run_id, "summary", value, before.summary)
                    value = json
                elif name == "tags":
                    value = list(value)
                elif name == "ended_at":
                    value = value.replace(tzinfo=None)
                columns["run_group" if name == "group" else name] = value
            assignments = ", ".join(f"{name} = ?" for name in columns)
            transaction.execute(f"UPDATE runs SET {assignments} WHERE id = ?", *columns.values(), run_id)
            after = run_of(transaction, run_id)
            self._events.record(
                transaction,
                "run.changed",
                f"run:{run_id}",
                caller,
                after.owner_id,
                changed=sorted(given),
                status=after.status,
            )
            transaction.after_commit(lambda: self._recent.committed(after))
            return after

        return await self._database.write(work)

    async def resume(self, run_id: int, resume: ResumeRun, caller: Caller) -> ResumedRun:
        """Go on with a run that has ended, or whose process is gone or not heard of.

        Raises:
            NotFound: there is none with this id for the caller.
            PermissionDenied: they may only read it.
            Conflict: another process executes it.
        """

        def work(transaction: Transaction) -> ResumedRun:
            run = run_of(transaction, run_id)
            policy.require(caller, "train", run, f"run {run_id}")
            executed_by = _process_of(transaction, run_id)
            if goes_on(run, executed_by) and (executed_by is None or executed_by != resume.process):
                raise Conflict(
                    f"Run {run_id} goes on in another process, which was heard of at {run.heartbeat_at:%H:%M:%S} "
                    "(UTC): stop it first, or start a run of your own."
                )
            run = self._resume(transaction, run, resume.process, resume.environment, caller)
            # What is measured of the machine counts its own steps.
            last = transaction.value(
                "SELECT max(last_step) FROM metric_series WHERE run_id = ? AND NOT starts_with(name, 'system/')",
                run_id,
            )
            return ResumedRun(run=run, next_step=0 if last is None else last + 1)

        return await self._database.write(work)

    def _resume(
        self,
        transaction: Transaction,
        run: Run,
        process: RunProcess | None,
        environment: dict[str, Any],
        caller: Caller,
    ) -> Run:
        moment = now()
        transaction.execute(
            "UPDATE runs SET status = 'running', ended_at = NULL, error = '', stop_requested = false, "
            "process = ?, heartbeats = ?, environment = ?, heartbeat_at = ?, updated_at = ? WHERE id = ?",
            None if process is None else process.model_dump(),
            run.heartbeats or process is not None,
            _json("environment", {**run.environment, **environment}),
            moment,
            moment,
            run.id,
        )
        after = run_of(transaction, run.id)
        self._events.record(
            transaction,
            "run.changed",
            f"run:{run.id}",
            caller,
            run.owner_id,
            changed=["ended_at", "status"],
            status="running",
        )
        transaction.after_commit(lambda: self._recent.committed(after))
        return after

    async def set_bundle(self, run_id: int, digest: str, caller: Caller) -> None:
        """Note the exported bundle of a run; an earlier one stays on disk for those who use it.

        Raises:
            NotFound: there is no such run for the caller.
            PermissionDenied: they may only read it.
        """

        def work(transaction: Transaction) -> None:
            run = run_of(transaction, run_id)
            policy.require(caller, "export", run, f"run {run_id}")
            transaction.execute(
                "UPDATE runs SET bundle = ?, updated_at = ? WHERE id = ?", digest, now(), run_id
            )
            self._events.record(
                transaction, "bundle.saved", f"run:{run_id}", caller, run.owner_id, digest=digest
            )
            transaction.after_commit(lambda: self._recent.forget(run_id))

        await self._database.write(work)

    async def stop(self, run_id: int, caller: Caller) -> Run:
        """Ask a run to stop; its process learns it with its next metrics or heartbeat.

        Raises:
            NotFound: there is none with this id for the caller.
            PermissionDenied: they may only read it.
            Conflict: it has ended already.
        """

        def work(transaction: Transaction) -> Run:
            run = run_of(transaction, run_id)
            policy.require(caller, "train", run, f"run {run_id}")
            if run.status in ENDED:
                raise Conflict(f"Run {run_id} is not running: it is {run.status}.")
            transaction.execute(
                "UPDATE runs SET stop_requested = true, updated_at = ? WHERE id = ?", now(), run_id
            )
            self._events.record(transaction, "run.stop_requested", f"run:{run_id}", caller, run.owner_id)
            after = run_of(transaction, run_id)
            transaction.after_commit(lambda: self._recent.committed(after))
            return after

        return await self._database.write(work)

    def require(self, cursor: Cursor, run_id: int, caller: Caller, permission: Permission) -> Ownership:
        """Let the caller read or change a run, within a read or write; returns whose it is.

        Raises:
            NotFound: there is no such run for them.
            PermissionDenied: they may only read it.
        """
        row = cursor.row(f"SELECT r.owner_id, {IS_PUBLIC} AS is_public {FROM} WHERE r.id = ?", run_id)
        if row is None:
            raise NotFound(f"There is no run {run_id}.")
        ownership = Ownership(**row)
        policy.require(caller, permission, ownership, f"run {run_id}")
        return ownership

    async def delete(self, run_id: int, caller: Caller) -> DeletedRuns:
        """Delete a run and all that are nested in it, with their metrics and artifacts.

        Raises:
            NotFound: there is none with this id for the caller.
            PermissionDenied: they may only read it.
            Conflict: a registered model of its owner's comes from one of them.
        """

        def work(transaction: Transaction) -> DeletedRuns:
            run = run_of(transaction, run_id)
            policy.require(caller, "train", run, f"run {run_id}")
            run_ids = with_descendants(transaction, [run_id])
            self._delete(transaction, run_ids, run.owner_id, caller)
            if run.parent_id is not None:
                self._forget_later(transaction, run.parent_id)
            return DeletedRuns(runs=len(run_ids))

        return await self._database.write(work)

    async def delete_of_project(self, project: Project, caller: Caller) -> None:
        """Delete all runs of a project, or none of them.

        Raises:
            NotFound: the caller may not see the project.
            PermissionDenied: they may only read it.
            Conflict: a registered model of its owner's comes from one of them.
        """
        policy.require(caller, "train", project, f"project '{project.name}'")

        def work(transaction: Transaction) -> None:
            found = transaction.column("SELECT id FROM runs WHERE project_id = ? ORDER BY id", project.id)
            if found:
                self._delete(transaction, with_descendants(transaction, found), project.owner_id, caller)

        await self._database.write(work)

    def _delete(self, transaction: Transaction, run_ids: list[int], owner_id: int, caller: Caller) -> None:
        listed = f"IN ({placeholders(run_ids)})"
        # Who registered somebody else's public run has its bundle, but no say in what becomes of it.
        kept = transaction.value(
            "SELECT min(v.run_id) FROM model_versions v JOIN models m ON m.id = v.model_id "
            f"WHERE m.owner_id = ? AND v.run_id {listed}",
            owner_id,
            *run_ids,
        )
        if kept is not None:
            raise Conflict(f"Run {kept} cannot be deleted: a registered model version comes from it.")
        transaction.execute(
            f"DELETE FROM metrics WHERE series_id IN (SELECT id FROM metric_series WHERE run_id {listed})",
            *run_ids,
        )
        for table in ("metric_series", "metric_streams", "artifacts", "run_values"):
            transaction.execute(f"DELETE FROM {table} WHERE run_id {listed}", *run_ids)
        transaction.execute(f"DELETE FROM runs WHERE id {listed}", *run_ids)
        for run_id in run_ids:
            self._events.record(transaction, "run.deleted", f"run:{run_id}", caller, owner_id)
        transaction.after_commit(lambda: self._recent.forget(*run_ids))

    def _forget_later(self, transaction: Transaction, *run_ids: int) -> None:
        transaction.after_commit(lambda: self._recent.forget(*run_ids))

    def forget(self, *run_ids: int) -> None:
        """Have runs read anew that were changed elsewhere. Called after the commit, on the writer thread."""
        self._recent.forget(*run_ids)


def _process_of(cursor: Cursor, run_id: int) -> RunProcess | None:
    process = cursor.value("SELECT process FROM runs WHERE id = ?", run_id)
    return None if process is None else RunProcess(**process)


def _json(field: str, value: dict[str, Any]) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"{field}: {error}.", [{"field": field, "reason": str(error)}]) from None


def _filter(cursor: Cursor, wanted: WantedRuns, caller: Caller) -> tuple[str, list[Any]]:
    condition, parameters = policy.visible(caller, "r.owner_id", IS_PUBLIC)
    conditions = [condition]
    project_id = None if wanted.project is None else project_of(cursor, wanted.project, caller).id
    for column, value in (
        ("project_id", project_id),
        ("status", wanted.status),
        ("parent_id", wanted.parent_id),
        ("run_group", wanted.group),
    ):
        if value is not None:
            conditions.append(f"r.{column} = ?")
            parameters.append(value)
    return "WHERE " + " AND ".join(conditions), parameters
