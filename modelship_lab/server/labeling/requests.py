"""Samples that somebody is asked to look at (again), and what becomes of that."""

import threading
import uuid
import weakref
from collections.abc import Collection, Hashable, Iterable, Sequence, Set
from datetime import datetime
from typing import Any

import pyarrow as pa

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, NotFound
from modelship_lab.records.labeling import (
    MEASURES,
    Label,
    NewRequests,
    Project,
    Purpose,
    RequestBatch,
    RequestPurpose,
    SampleCount,
    SavedRequests,
)
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.label_rows import Act
from modelship_lab.server.labeling.opinions import (
    DERIVED,
    TOUCHED,
    Opinion,
    Wanted,
    is_in_share,
    read_opinions,
    wanted,
)
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.sample_filter import matching
from modelship_lab.server.labeling.waiting import Circle, Request, Waiting
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now, placeholders

MAX_WAITING = 100_000
"""Requests of one project that are kept in memory, and as many can be asked for."""

MAX_CHANGES = 10_000
"""When more than these change at once, all of them are read anew."""

_FIRST_OPINIONS: frozenset[Purpose] = frozenset({"label", "overlap"})

_ANY_DECISION: frozenset[Purpose] = frozenset({"error", "request"})
"""These are done with once anybody has decided about the sample, for whatever purpose."""

_COLUMNS = "id, sample_id, purpose, detail, not_by, only_by, batch, created_at"

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

MADE = pa.schema(
    [("label_id", pa.int64()), ("sample_id", pa.int64()), ("author", pa.string()), ("purpose", pa.string())]
)


class Requests:
    """The requests of all projects.

    They are rows of the table `requests`, written in the transaction of what causes them; those that wait are kept
    in memory as well, changed after each commit. A row whose decision is there stays, so that an undo of that
    decision brings the request back.
    """

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database = database
        self._events = events
        self._projects: dict[int, Waiting] = {}
        self._lock = threading.Lock()
        self._written: weakref.WeakKeyDictionary[Transaction, set[int]] = weakref.WeakKeyDictionary()
        """Projects whose requests were changed in a transaction that is not on disk yet."""

    # What is handed out

    async def load(self, project: Project) -> None:
        """Have the requests of a project in memory."""
        if project.id not in self._projects:
            await self._database.write(lambda transaction: self._load(transaction, project.id))

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

    # What people ask for

    async def ask(self, project: Project, new: NewRequests, caller: Caller) -> SavedRequests:
        """Have people look at samples; those that wait for the same purpose are not asked for a second time.

        Raises:
            Conflict: too many would wait.
        """
        require(caller, "label", project)
        project.require_task()

        def work(transaction: Transaction) -> SavedRequests:
            self._load(transaction, project.id)
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
        self._load(transaction, project.id)
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
            f"FROM fresh ORDER BY sample_id RETURNING {_COLUMNS}",
            {"fresh": fresh},
            project.id,
            purpose,
            detail,
            batch,
            caller.name,
            now(),
        )
        self._change(transaction, project.id, added=[_request(row) for row in added])
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
            self._load(transaction, project.id)
            removed = transaction.tuples(
                f"DELETE FROM requests WHERE project_id = ? AND batch = ? RETURNING {_COLUMNS}, label_id, author",
                project.id,
                batch,
            )
            if not removed or not batch:
                raise NotFound(f"Project '{project.name}' has no requests '{batch}'.")
            if removed[0][-1] != caller.name:
                require(caller, "write", project)
            waiting = [_request(row) for *row, label_id, _author in removed if label_id is None]
            self._change(transaction, project.id, removed=waiting)
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

    # What becomes of it

    def decided(
        self, transaction: Transaction, project: Project, made: Sequence[Label], fresh: Collection[int] = ()
    ) -> None:
        """Decisions were saved in this transaction: note what they answer and what they give rise to.

        Args:
            fresh: samples that nobody had decided about before.
        """
        self._load(transaction, project.id)
        made = [one for one in made if one.source in ("human", "gold") and one.action != "note"]
        if not made:
            return
        touched = {one.sample_id for one in made}
        if self._may_concern(transaction, project.id, touched):
            self._answer(
                transaction, project.id, [(one.id, one.sample_id, one.author, one.purpose) for one in made]
            )
            known: Collection[int] = ()
        else:
            known = fresh
        counting = [one for one in made if one.purpose not in MEASURES]
        first = {one.sample_id: one for one in counting if one.sample_id in known}
        self._insert_wanted(
            transaction,
            project,
            [ask for one in first.values() if (ask := wanted(project, [_opinion(one)])) is not None],
        )
        if again := {one.sample_id for one in counting} - first.keys():
            self._derive(transaction, project, _touched(again))
        self._ask_again(transaction, project, counting)
        self._meet(transaction, project.id, [(one.author, one.sample_id) for one in made])

    def decided_many(self, transaction: Transaction, project: Project, samples: pa.Table, act: Act) -> None:
        """`decided` for many decisions of one act; `samples` has the column `sample_id`."""
        self._load(transaction, project.id)
        if act.source not in ("human", "gold") or act.action == "note":
            return
        tables = {"touched": samples.select(["sample_id"])}
        made = transaction.tuples_with(
            "SELECT max(l.id), l.sample_id FROM labels l WHERE l.batch = ? AND l.undoes IS NULL AND l.sample_id IN "
            "(SELECT sample_id FROM requests JOIN touched USING (sample_id) WHERE label_id IS NULL) "
            "GROUP BY l.sample_id",
            tables,
            act.batch,
        )
        self._answer(transaction, project.id, [(*one, act.author, act.purpose) for one in made])
        if act.counts:
            asks = project.settings.overlap > 1 or project.settings.review_share > 0
            self._derive(
                transaction, project, tables["touched"] if asks else _touched(one[1] for one in made)
            )
        if act.source == "gold":
            transaction.after_commit(lambda: self.forget(project.id))
        else:
            transaction.after_commit(lambda: self._forget_gold(project.id))

    def undone(self, transaction: Transaction, project: Project, targets: pa.Table) -> None:
        """Decisions were taken back in this transaction: what they had answered waits again.

        Args:
            targets: the columns `id` and `sample_id`.
        """
        self._load(transaction, project.id)
        tables = {"targets": targets}
        back = transaction.tuples_with(
            "UPDATE requests SET label_id = NULL WHERE project_id = ? AND label_id IN (SELECT id FROM targets) "
            f"RETURNING {_COLUMNS}",
            tables,
            project.id,
        )
        self._change(transaction, project.id, added=[_request(row) for row in back])
        by_people = transaction.tuples_with(
            "SELECT DISTINCT t.sample_id FROM targets t JOIN labels l USING (id) WHERE l.source IN ('human', 'gold')",
            tables,
        )
        touched = {one for (one,) in by_people}
        self._derive(transaction, project, _touched(touched))
        transaction.after_commit(lambda: self._forget_gold(project.id, touched))

    def _load(self, transaction: Transaction, project_id: int) -> None:
        """Read a project's requests. Every write that will change them, or its labels, does this first."""
        if project_id not in self._projects:
            waiting = _read(transaction, project_id)
            with self._lock:
                self._projects[project_id] = waiting

    def _may_concern(self, transaction: Transaction, project_id: int, sample_ids: Collection[int]) -> bool:
        """Whether one of these samples may have a request, by what is in memory."""
        if project_id in self._written.get(transaction, ()):
            return True
        with self._lock:
            waiting = self._projects.get(project_id)
            return waiting is None or waiting.may_concern(sample_ids)

    def _answer(
        self, transaction: Transaction, project_id: int, made: Sequence[tuple[int, int, str, str]]
    ) -> None:
        """Give each request that decisions answer the decision that does."""
        if not made:
            return
        columns = list(zip(*made, strict=True))
        table = pa.Table.from_arrays(
            [pa.array(column, field.type) for column, field in zip(columns, MADE, strict=True)], schema=MADE
        )
        measures, derived, any_decision = sorted(MEASURES), sorted(DERIVED), sorted(_ANY_DECISION)
        answered = transaction.tuples_with(
            f"""
            UPDATE requests SET label_id = m.label_id FROM made m
            WHERE requests.project_id = ? AND requests.sample_id = m.sample_id AND requests.label_id IS NULL
              AND NOT (batch = '' AND requests.purpose IN ({placeholders(derived)}))
              AND (requests.purpose = m.purpose OR (requests.purpose IN ({placeholders(any_decision)})
                                                    AND m.purpose NOT IN ({placeholders(measures)})))
              AND NOT list_contains(requests.not_by, m.author)
              AND (requests.only_by IS NULL OR requests.only_by = m.author)
            RETURNING {", ".join(f"requests.{name}" for name in _COLUMNS.split(", "))}
            """,
            {"made": table},
            project_id,
            *derived,
            *any_decision,
            *measures,
        )
        self._change(transaction, project_id, removed=[_request(row) for row in answered])

    def _derive(self, transaction: Transaction, project: Project, touched: pa.Table) -> None:
        """Make the requests that follow from decisions those that follow from what people say now."""
        if not touched.num_rows:
            return
        opinions = read_opinions(transaction, project.id, touched)
        due = {
            sample_id: ask
            for sample_id, said in opinions.items()
            if (ask := wanted(project, said)) is not None
        }
        rows = transaction.tuples_with(
            f"SELECT {_COLUMNS} FROM requests WHERE project_id = ? AND label_id IS NULL AND batch = '' "
            "AND sample_id IN (SELECT sample_id FROM touched)",
            {"touched": touched},
            project.id,
        )
        gone = []
        for request in map(_request, rows):
            if request.purpose == "repeat":
                # There is nothing to repeat once the first decision is taken back.
                if request.only_by not in [one.author for one in opinions.get(request.sample_id, ())]:
                    gone.append(request)
                continue
            ask = due.get(request.sample_id)
            if ask == Wanted(request.sample_id, request.purpose, request.not_by, request.detail):
                del due[request.sample_id]
            else:
                gone.append(request)
        if gone:
            transaction.rows_with(
                "DELETE FROM requests WHERE id IN (SELECT sample_id FROM gone)",
                {"gone": _touched(request.id for request in gone)},
            )
            self._change(transaction, project.id, removed=gone)
        self._insert_wanted(transaction, project, list(due.values()))

    def _ask_again(self, transaction: Transaction, project: Project, counting: Iterable[Label]) -> None:
        """Ask people for a share of their own labels once more."""
        share = project.settings.repeat_share
        again = [
            one
            for one in counting
            if one.source == "human"
            and one.action == "label"
            and one.purpose in _FIRST_OPINIONS
            and is_in_share(one.sample_id, f"repeat {one.author}", share)
        ]
        if not again:
            return
        asked = {
            (row["sample_id"], row["only_by"])
            for row in transaction.rows_with(
                "SELECT sample_id, only_by FROM requests WHERE project_id = ? AND purpose = 'repeat' "
                "AND sample_id IN (SELECT sample_id FROM touched)",
                {"touched": _touched(one.sample_id for one in again)},
                project.id,
            )
        }
        rows = [
            {"sample_id": sample_id, "purpose": "repeat", "only_by": author}
            for sample_id, author in dict.fromkeys((one.sample_id, one.author) for one in again)
            if (sample_id, author) not in asked
        ]
        self._insert(transaction, project.id, rows)

    def _insert_wanted(self, transaction: Transaction, project: Project, asks: Sequence[Wanted]) -> None:
        self._insert(transaction, project.id, [{**one._asdict(), "not_by": list(one.not_by)} for one in asks])

    def _insert(self, transaction: Transaction, project_id: int, rows: Sequence[dict[str, Any]]) -> None:
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
        names = _COLUMNS.split(", ")
        self._change(
            transaction, project_id, added=[_request([row[name] for name in names]) for row in complete]
        )

    def _change(
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

    def _meet(self, transaction: Transaction, project_id: int, decided: Sequence[tuple[str, int]]) -> None:
        def apply() -> None:
            with self._lock:
                waiting = self._projects.get(project_id)
                if waiting is not None and waiting.gold:
                    known = set(waiting.gold)
                    for person, sample_id in decided:
                        if sample_id in known:
                            waiting.met[person].add(sample_id)

        transaction.after_commit(apply)

    def _forget_gold(self, project_id: int, sample_ids: Set[int] | None = None) -> None:
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
        f"SELECT {_COLUMNS} FROM requests {where} ORDER BY id LIMIT {MAX_WAITING:d}", project_id
    )
    for row in rows:
        waiting.add(_request(row))
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


def _request(row: Sequence[Any]) -> Request:
    """A request from its `_COLUMNS`."""
    identity, sample_id, purpose, detail, not_by, only_by, batch, created_at = row
    return Request(identity, sample_id, purpose, detail, tuple(not_by), only_by, batch, created_at)


def _opinion(label: Label) -> Opinion:
    return Opinion(
        label.sample_id,
        label.id,
        label.author,
        label.action,
        label.purpose,
        label.source,
        bool(label.batch),
        label.label,
        label.content,
    )


def _touched(sample_ids: Iterable[int]) -> pa.Table:
    return pa.Table.from_arrays([pa.array(list(sample_ids), pa.int64())], schema=TOUCHED)
