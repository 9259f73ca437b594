"""Requests to look at samples (again), as rows of a table and in memory."""

import threading
import weakref
from collections.abc import Collection, Hashable, Sequence, Set
from datetime import datetime
from typing import Any

import pyarrow as pa

from modelship_lab.records.labeling import Project, Purpose
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.waiting import Circle, Request, Waiting
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now

MAX_WAITING = 100_000
"""Requests of one project that are kept in memory, and as many can be asked for."""

MAX_CHANGES = 10_000
"""When more than these change at once, all of them are read anew."""

COLUMNS = "id, sample_id, purpose, detail, not_by, only_by, batch, created_at"

REQUESTS = pa.schema(
    [
        ("id", pa.int64()),
        ("sample_id", pa.int64()),
        ("project_id", pa.int64()),
        ("purpose", pa.string()),
        ("detail", pa.string()),
        ("not_by", pa.list_(pa.string())),
        ("only_by", pa.string()),
        ("batch", pa.string()),
        ("author", pa.string()),
        ("created_at", pa.timestamp("us")),
    ]
)


class RequestRows:
    """The requests of all projects.

    They are rows of the table `requests`, written in the transaction of what causes them; those that wait are kept
    in memory as well, changed after each commit. A row whose decision is there stays, so that an undo of that
    decision brings the request back.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._projects: dict[int, Waiting] = {}
        self._lock = threading.Lock()
        self._written: weakref.WeakKeyDictionary[Transaction, set[int]] = weakref.WeakKeyDictionary()
        """Projects whose requests were changed in a transaction that is not on disk yet."""

    async def load(self, project: Project) -> None:
        """Have the requests of a project in memory."""
        if project.id not in self._projects:
            await self._database.write(lambda transaction: self.load_in(transaction, project.id))

    def counts(self, project: Project, caller: Caller) -> dict[Purpose, int]:
        """How much is asked of the caller, by purpose."""
        with self._lock:
            waiting = self._projects.get(project.id)
            return {} if waiting is None else dict(waiting.counts(caller.name))

    def asked(
        self,
        project: Project,
        caller: Caller,
        purposes: Collection[Purpose],
        limit: int,
        left_out: Collection[Hashable] = (),
        before: datetime | None = None,
    ) -> list[Request]:
        """What the caller is to look at; see `Waiting.asked`."""
        with self._lock:
            waiting = self._projects.get(project.id)
            return [] if waiting is None else waiting.asked(caller.name, purposes, limit, left_out, before)

    def gold(self, project: Project, caller: Caller, limit: int, left_out: Collection[Hashable]) -> list[int]:
        """Samples whose answer is known and that the caller has not decided about."""
        with self._lock:
            waiting = self._projects.get(project.id)
            return [] if waiting is None else waiting.gold_for(caller.name, limit, left_out)

    def forget(self, project_id: int) -> None:
        """Read the requests and the gold of a project anew when they are needed. Called after the commit."""
        with self._lock:
            self._projects.pop(project_id, None)

    def load_in(self, transaction: Transaction, project_id: int) -> None:
        """Read a project's requests. Every write that will change them, or its labels, does this first."""
        if project_id not in self._projects:
            waiting = _read(transaction, project_id)
            with self._lock:
                self._projects[project_id] = waiting

    def may_concern(self, transaction: Transaction, project_id: int, sample_ids: Collection[int]) -> bool:
        """Whether one of these samples may have a request, by what is in memory."""
        if project_id in self._written.get(transaction, ()):
            return True
        with self._lock:
            waiting = self._projects.get(project_id)
            return waiting is None or waiting.may_concern(sample_ids)

    def insert(self, transaction: Transaction, project_id: int, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        identities = sorted(transaction.column("SELECT nextval('request_ids') FROM range(?)", len(rows)))
        complete = [
            {
                "detail": "",
                "not_by": [],
                "only_by": None,
                "batch": "",
                "author": "",
                **row,
                "id": identity,
                "project_id": project_id,
                "created_at": now(),
            }
            for row, identity in zip(rows, identities, strict=True)
        ]
        transaction.insert("requests", pa.Table.from_pylist(complete, REQUESTS))
        names = COLUMNS.split(", ")
        self.change(
            transaction, project_id, added=[request_of([row[name] for name in names]) for row in complete]
        )

    def change(
        self,
        transaction: Transaction,
        project_id: int,
        *,
        added: Sequence[Request] = (),
        removed: Sequence[Request] = (),
    ) -> None:
        """Have what is in memory changed once the transaction is on disk."""
        if not added and not removed:
            return
        self._written.setdefault(transaction, set()).add(project_id)

        def apply() -> None:
            with self._lock:
                waiting = self._projects.get(project_id)
                if waiting is None:
                    return
                if len(added) + len(removed) > MAX_CHANGES:
                    del self._projects[project_id]
                    return
                for request in removed:
                    waiting.remove(request)
                for request in added:
                    waiting.add(request)
                if waiting.is_short:
                    del self._projects[project_id]

        transaction.after_commit(apply)

    def meet(self, transaction: Transaction, project_id: int, decided: Sequence[tuple[str, int]]) -> None:
        def apply() -> None:
            with self._lock:
                waiting = self._projects.get(project_id)
                if waiting is not None and waiting.gold:
                    known = set(waiting.gold)
                    for person, sample_id in decided:
                        if sample_id in known:
                            waiting.met[person].add(sample_id)

        transaction.after_commit(apply)

    def forget_gold(self, project_id: int, sample_ids: Set[int] | None = None) -> None:
        """Read anew who has decided about which gold, if these samples are any."""
        with self._lock:
            waiting = self._projects.get(project_id)
            if waiting is not None and (
                waiting.gold if sample_ids is None else not sample_ids.isdisjoint(waiting.gold)
            ):
                del self._projects[project_id]


def _read(cursor: Cursor, project_id: int) -> Waiting:
    waiting = Waiting(MAX_WAITING)
    where = "WHERE project_id = ? AND label_id IS NULL"
    rows = cursor.tuples(
        f"SELECT {COLUMNS} FROM requests {where} ORDER BY id LIMIT {MAX_WAITING:d}", project_id
    )
    for row in rows:
        waiting.add(request_of(row))
    if len(rows) == MAX_WAITING:
        for purpose, not_by, only_by, count in cursor.tuples(
            f"SELECT purpose, not_by, only_by, count(*) FROM requests {where} AND id > ? GROUP BY ALL",
            project_id,
            rows[-1][0],
        ):
            waiting.add_beyond(Circle(purpose, tuple(not_by), only_by), count)
    waiting.gold = cursor.column(
        f"SELECT sample_id FROM gold WHERE project_id = ? GROUP BY sample_id ORDER BY min(created_at), sample_id "
        f"LIMIT {MAX_WAITING:d}",
        project_id,
    )
    if waiting.gold:
        for person, sample_id in cursor.tuples(
            "SELECT author, sample_id FROM gold WHERE project_id = ? UNION "
            "SELECT l.author, l.sample_id FROM labels l WHERE l.project_id = ? AND l.source = 'human' "
            "AND l.undoes IS NULL AND l.sample_id IN (SELECT sample_id FROM gold WHERE project_id = ?) "
            "AND NOT EXISTS (SELECT 1 FROM labels u WHERE u.undoes = l.id)",
            project_id,
            project_id,
            project_id,
        ):
            waiting.met[person].add(sample_id)
    return waiting


def request_of(row: Sequence[Any]) -> Request:
    """A request from its `COLUMNS`."""
    identity, sample_id, purpose, detail, not_by, only_by, batch, created_at = row
    return Request(identity, sample_id, purpose, detail, tuple(not_by), only_by, batch, created_at)
