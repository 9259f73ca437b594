"""What people ask others to look at (again)."""

import uuid

import pyarrow as pa

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, NotFound
from modelship_lab.records.labeling import (
    NewRequests,
    Project,
    RequestBatch,
    RequestPurpose,
    SampleCount,
    SavedRequests,
)
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.request_rows import COLUMNS, MAX_WAITING, RequestRows, request_of
from modelship_lab.server.labeling.sample_filter import matching
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now


class Requests:
    """What was asked for, act by act. What follows from decisions is in `FollowUps`."""

    def __init__(self, database: Database, events: EventLog, rows: RequestRows) -> None:
        self._database = database
        self._events = events
        self._rows = rows

    async def ask(self, project: Project, new: NewRequests, caller: Caller) -> SavedRequests:
        """Have people look at samples; those that wait for the same purpose are not asked for a second time.

        Raises:
            Conflict: too many would wait.
        """
        require(caller, "label", project)
        project.require_task()

        def work(transaction: Transaction) -> SavedRequests:
            self._rows.load_in(transaction, project.id)
            found, parameters = matching(project, new.samples)
            samples = transaction.table(f"SELECT s.id AS sample_id {found}", *parameters)
            saved = self.add(
                transaction, project, samples, new.purpose, caller, detail=new.detail, at_most=new.at_most
            )
            if saved.added:
                self._events.record(
                    transaction,
                    "requests.added",
                    f"project:{project.id}",
                    caller,
                    project.owner_id,
                    purpose=new.purpose,
                    added=saved.added,
                    batch=saved.batch,
                )
            return saved

        return await self._database.write(work)

    def add(
        self,
        transaction: Transaction,
        project: Project,
        samples: pa.Table,
        purpose: RequestPurpose,
        caller: Caller,
        *,
        detail: str = "",
        at_most: int | None = None,
    ) -> SavedRequests:
        """Ask for decisions about samples, in the transaction of what makes them worth it.

        A repeat is asked of whoever labeled the sample, a review of everybody but them, all else of everybody.

        Args:
            samples: the column `sample_id`.
            at_most: a random choice of this many.

        Raises:
            Conflict: too many would wait.
        """
        self._rows.load_in(transaction, project.id)
        waits = (
            "EXISTS (SELECT 1 FROM requests r WHERE r.sample_id = t.sample_id AND r.project_id = ? "
            "AND r.purpose = ? AND r.label_id IS NULL)"
        )
        with transaction.registered({"touched": samples}):
            waiting = transaction.value(f"SELECT count(*) FROM touched t WHERE {waits}", project.id, purpose)
            fresh = transaction.table(
                "SELECT t.sample_id, CASE WHEN st.source = 'human' THEN st.author END AS author FROM touched t "
                f"LEFT JOIN sample_states st ON st.sample_id = t.sample_id WHERE NOT {waits} "
                + ("AND st.source = 'human' " if purpose == "repeat" else "")
                + ("" if at_most is None else f"ORDER BY random() LIMIT {at_most:d}"),
                project.id,
                purpose,
            )
        there = transaction.value(
            "SELECT count(*) FROM requests WHERE project_id = ? AND label_id IS NULL", project.id
        )
        if there + fresh.num_rows > MAX_WAITING:
            raise Conflict(
                f"At most {MAX_WAITING:,} samples of a project can be asked for: {there:,} wait, and these are "
                f"{fresh.num_rows:,} more. Ask for some of them (`at_most`), or withdraw others."
            )
        batch = uuid.uuid4().hex[:12]
        not_by = "CASE WHEN author IS NULL THEN [] ELSE [author] END" if purpose == "review" else "[]"
        added = transaction.tuples_with(
            "INSERT INTO requests (sample_id, project_id, purpose, detail, not_by, only_by, batch, author, created_at) "
            f"SELECT sample_id, ?, ?, ?, {not_by}, {'author' if purpose == 'repeat' else 'NULL'}, ?, ?, ? "
            f"FROM fresh ORDER BY sample_id RETURNING {COLUMNS}",
            {"fresh": fresh},
            project.id,
            purpose,
            detail,
            batch,
            caller.name,
            now(),
        )
        self._rows.change(transaction, project.id, added=[request_of(row) for row in added])
        return SavedRequests(added=len(added), waiting=waiting, batch=batch)

    async def withdraw(self, project: Project, batch: str, caller: Caller) -> SampleCount:
        """Take back what was asked for in one act, as far as nobody has decided about it.

        Who only labels in the project takes back what they asked for themselves.

        Raises:
            NotFound: there is nothing of it.
            PermissionDenied: it is not the caller's.
        """
        require(caller, "label", project)

        def work(transaction: Transaction) -> SampleCount:
            self._rows.load_in(transaction, project.id)
            removed = transaction.tuples(
                f"DELETE FROM requests WHERE project_id = ? AND batch = ? RETURNING {COLUMNS}, label_id, author",
                project.id,
                batch,
            )
            if not removed or not batch:
                raise NotFound(f"Project '{project.name}' has no requests '{batch}'.")
            if removed[0][-1] != caller.name:
                require(caller, "write", project)
            waiting = [request_of(row) for *row, label_id, _author in removed if label_id is None]
            self._rows.change(transaction, project.id, removed=waiting)
            self._events.record(
                transaction,
                "requests.withdrawn",
                f"project:{project.id}",
                caller,
                project.owner_id,
                batch=batch,
                withdrawn=len(waiting),
            )
            return SampleCount(count=len(waiting))

        return await self._database.write(work)

    async def page(self, project: Project, caller: Caller) -> Page[RequestBatch]:
        """What waits, by the act in which it was asked for, the newest first."""
        require(caller, "read", project)

        def work(cursor: Cursor) -> Page[RequestBatch]:
            rows = cursor.rows(
                "SELECT batch, purpose, any_value(CASE WHEN batch = '' THEN '' ELSE detail END) AS detail, "
                "any_value(CASE WHEN batch = '' THEN '' ELSE author END) AS author, count(*) AS waiting, "
                "min(created_at) AS created_at FROM requests WHERE project_id = ? AND label_id IS NULL "
                "GROUP BY batch, purpose ORDER BY max(id) DESC",
                project.id,
            )
            items = tuple(RequestBatch(**row) for row in rows)
            return Page(items=items, total=len(items), limit=len(items), offset=0)

        return await self._database.read(work)
