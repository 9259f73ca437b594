"""Runs: created, changed, stopped, and told apart from those whose process died."""

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import Any

import orjson
import pyarrow as pa

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound
from modelship_lab.records.tracking import Heartbeat, NewRun, Run, RunChange
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import LAB, OWNER_ID, Caller
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now

log = logging.getLogger(__name__)

LOST_AFTER_S = 60
"""A running run that has not been heard of for so long is marked interrupted. Clients beat every 5 s or less."""

HEARTBEAT_GRAIN_S = 5
"""Heartbeats are written at most this often; they are there to tell the dead from the living, not to be exact."""

_SELECT = """
    SELECT r.id, r.name, r.project_id, p.name AS project, r.recipe, r.status, r.params, r.tags, r.notes,
           r.snapshot_id, r.environment, r.summary, r.error, r.bundle, r.stop_requested,
           r.started_at, r.ended_at, r.heartbeat_at
    FROM runs r LEFT JOIN projects p ON p.id = r.project_id
"""


class Runs:
    """The runs of the lab."""

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database = database
        self._events = events
        self._watch: asyncio.Task[None] | None = None

    async def create(self, new: NewRun, caller: Caller) -> Run:
        """Start a run. The same `key` gives the same run, so that a client may ask again after a lost answer.

        Raises:
            NotFound: no such project or snapshot.
        """

        def work(transaction: Transaction) -> Run:
            if new.key:
                earlier = transaction.value("SELECT id FROM runs WHERE key = ?", new.key)
                if earlier is not None:
                    return _run(transaction, earlier)
            project_id = project_id_of(transaction, new.project)
            if new.snapshot_id is not None:
                owner = transaction.value("SELECT project_id FROM snapshots WHERE id = ?", new.snapshot_id)
                if owner is None:
                    raise NotFound(f"There is no snapshot {new.snapshot_id}.")
                project_id = project_id if project_id is not None else owner
            moment = now()
            identity = transaction.value(
                """INSERT INTO runs (key, name, project_id, recipe, status, params, tags, snapshot_id,
                                     environment, author, started_at, heartbeat_at)
                   VALUES (?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
                new.key,
                new.name or new.recipe or "run",
                project_id,
                new.recipe,
                _json("params", new.params),
                list(new.tags),
                new.snapshot_id,
                _json("environment", new.environment),
                caller.name,
                moment,
                moment,
            )
            self._events.record(
                transaction,
                "run.created",
                f"run:{identity}",
                caller,
                caller.account_id,
                project_id=project_id,
                name=new.name,
            )
            return _run(transaction, identity)

        return await self._database.write(work)

    async def get(self, run_id: int) -> Run:
        """One run.

        Raises:
            NotFound: there is none with this id.
        """
        return await self._database.read(lambda cursor: _run(cursor, run_id))

    async def page(self, project: str | None, status: str | None, limit: int, offset: int) -> Page[Run]:
        """Runs, the newest first."""

        def work(cursor: Cursor) -> Page[Run]:
            where, parameters = _filter(cursor, project, status)
            total = cursor.value(f"SELECT count(*) FROM runs r {where}", *parameters)
            found = cursor.rows(
                f"{_SELECT} {where} ORDER BY r.id DESC LIMIT {limit:d} OFFSET {offset:d}", *parameters
            )
            items = tuple(_record(row) for row in found)
            return Page(items=items, total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def table(self, project: str | None, status: str | None) -> pa.Table:
        """All runs as an Arrow table; params, environment and summary are JSON strings."""

        def work(cursor: Cursor) -> pa.Table:
            where, parameters = _filter(cursor, project, status)
            return cursor.table(f"{_SELECT} {where} ORDER BY r.id DESC", *parameters)

        return await self._database.read(work)

    async def change(self, run_id: int, change: RunChange, caller: Caller) -> Run:
        """Change fields of a run; a status that ends it sets the end's time.

        Raises:
            NotFound: there is none with this id.
        """

        def work(transaction: Transaction) -> Run:
            before = _run(transaction, run_id)
            given = change.model_dump(exclude_none=True)
            columns: dict[str, Any] = {"heartbeat_at": now()}
            for name, value in given.items():
                if name == "params":
                    value = _json(name, {**before.params, **value})
                elif name == "summary":
                    value = _json(name, {**before.summary, **value})
                elif name == "tags":
                    value = list(value)
                columns[name] = value
            if change.status is not None:
                columns["ended_at"] = None if change.status == "running" else now()
            assignments = ", ".join(f"{name} = ?" for name in columns)
            transaction.execute(f"UPDATE runs SET {assignments} WHERE id = ?", *columns.values(), run_id)
            after = _run(transaction, run_id)
            self._events.record(
                transaction,
                "run.changed",
                f"run:{run_id}",
                caller,
                caller.account_id,
                changed=sorted(given),
                status=after.status,
            )
            return after

        return await self._database.write(work)

    async def set_bundle(self, run_id: int, digest: str, caller: Caller) -> None:
        """Note the exported bundle of a run; an earlier one stays on disk for those who use it.

        Raises:
            NotFound: there is no such run.
        """

        def work(transaction: Transaction) -> None:
            _run(transaction, run_id)
            transaction.execute("UPDATE runs SET bundle = ? WHERE id = ?", digest, run_id)
            self._events.record(
                transaction, "bundle.saved", f"run:{run_id}", caller, caller.account_id, digest=digest
            )

        await self._database.write(work)

    async def stop(self, run_id: int, caller: Caller) -> Run:
        """Ask a run to stop; its process learns it with its next metrics or heartbeat.

        Raises:
            NotFound: there is none with this id.
            Conflict: it has ended already.
        """

        def work(transaction: Transaction) -> Run:
            run = _run(transaction, run_id)
            if run.status != "running":
                raise Conflict(f"Run {run_id} is not running: it is {run.status}.")
            transaction.execute("UPDATE runs SET stop_requested = true WHERE id = ?", run_id)
            self._events.record(transaction, "run.stop_requested", f"run:{run_id}", caller, caller.account_id)
            return run.model_copy(update={"stop_requested": True})

        return await self._database.write(work)

    async def heartbeat(self, run_id: int) -> Heartbeat:
        """Hear from a run's process; one that was given up is running again."""

        def work(transaction: Transaction) -> Heartbeat:
            return Heartbeat(stop=beat(transaction, self._events, run_id))

        return await self._database.write(work)

    async def delete(self, run_id: int, caller: Caller) -> None:
        """Delete a run with its metrics and artifacts.

        Raises:
            NotFound: there is none with this id.
            Conflict: a registered model comes from it.
        """

        def work(transaction: Transaction) -> None:
            _run(transaction, run_id)
            if transaction.value("SELECT count(*) FROM model_versions WHERE run_id = ?", run_id):
                raise Conflict(f"Run {run_id} cannot be deleted: a registered model version comes from it.")
            for table in ("metrics", "metric_streams", "artifacts"):
                transaction.execute(f"DELETE FROM {table} WHERE run_id = ?", run_id)
            transaction.execute("DELETE FROM runs WHERE id = ?", run_id)
            self._events.record(transaction, "run.deleted", f"run:{run_id}", caller, caller.account_id)

        await self._database.write(work)

    def start(self) -> None:
        """Begin to watch for runs whose process died."""
        self._watch = asyncio.create_task(self._mark_lost_runs())

    async def stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    async def _mark_lost_runs(self) -> None:
        def work(transaction: Transaction) -> None:
            limit = now() - timedelta(seconds=LOST_AFTER_S)
            lost = transaction.column(
                "UPDATE runs SET status = 'interrupted', ended_at = heartbeat_at "
                "WHERE status = 'running' AND heartbeat_at < ? RETURNING id",
                limit,
            )
            for run_id in lost:
                self._events.record(
                    transaction,
                    "run.changed",
                    f"run:{run_id}",
                    LAB,
                    OWNER_ID,
                    changed=["status"],
                    status="interrupted",
                )

        # While the server was away nobody could be heard: give everybody the time to speak again.
        await asyncio.sleep(LOST_AFTER_S)
        while True:
            try:
                await self._database.write(work)
            except Exception:
                log.exception("Could not look for lost runs")
            await asyncio.sleep(LOST_AFTER_S / 4)


def beat(transaction: Transaction, events: EventLog, run_id: int) -> bool:
    """Note that a run's process lives; returns whether the run was asked to stop.

    Raises:
        NotFound: there is no such run.
    """
    row = transaction.row("SELECT status, stop_requested, heartbeat_at FROM runs WHERE id = ?", run_id)
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    moment = now()
    if row["status"] == "interrupted":
        transaction.execute(
            "UPDATE runs SET status = 'running', ended_at = NULL, heartbeat_at = ? WHERE id = ?",
            moment,
            run_id,
        )
        events.record(
            transaction, "run.changed", f"run:{run_id}", LAB, OWNER_ID, changed=["status"], status="running"
        )
    elif (moment - row["heartbeat_at"]).total_seconds() > HEARTBEAT_GRAIN_S:
        transaction.execute("UPDATE runs SET heartbeat_at = ? WHERE id = ?", moment, run_id)
    return bool(row["stop_requested"])


def project_id_of(cursor: Cursor, project: int | str | None) -> int | None:
    """The id of a project given by id or name.

    Raises:
        NotFound: there is none.
    """
    if project is None:
        return None
    named = str(project)
    if named.isdecimal() and len(named) <= 18:
        found = cursor.value("SELECT id FROM projects WHERE id = ?", int(named))
    else:
        found = cursor.value("SELECT id FROM projects WHERE name = ?", named)
    if found is None:
        raise NotFound(f"There is no project '{named[:200]}'.")
    return int(found)


def _json(field: str, value: dict[str, Any]) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"{field}: {error}.", [{"field": field, "reason": str(error)}]) from None


def _filter(cursor: Cursor, project: str | None, status: str | None) -> tuple[str, list[Any]]:
    conditions: list[str] = []
    parameters: list[Any] = []
    if project is not None:
        conditions.append("r.project_id = ?")
        parameters.append(project_id_of(cursor, project))
    if status is not None:
        conditions.append("r.status = ?")
        parameters.append(status)
    return ("WHERE " + " AND ".join(conditions) if conditions else ""), parameters


def _run(cursor: Cursor, run_id: int) -> Run:
    row = cursor.row(f"{_SELECT} WHERE r.id = ?", run_id)
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    return _record(row)


def _record(row: dict[str, Any]) -> Run:
    for name in ("params", "environment", "summary"):
        row[name] = orjson.loads(row[name])
    return Run(**row)
