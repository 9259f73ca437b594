"""Decisions about samples: saved once however often they are sent, and undone without being erased."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound
from modelship_lab.records.labeling import (
    Label,
    LabelAction,
    NewLabel,
    Project,
    SampleStatus,
    SavedLabels,
    Undo,
    Undone,
)
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.progress import ProgressCounts, State
from modelship_lab.server.labeling.queue import LabelQueue
from modelship_lab.server.labeling.samples import read_sample
from modelship_lab.server.storage.database import Cursor, Database, Transaction, now, placeholders

STATUS: dict[LabelAction, SampleStatus] = {"label": "labeled", "skip": "skipped", "flag": "flagged"}

MAX_NAMED = 100
"""Samples that an event names; a bulk of labels is told by its size."""

# What was imported has no key of its own.
_SELECT = """
    SELECT l.id, l.project_id, l.sample_id, l.action, l.label, l.source, l.author, l.duration_ms,
           coalesce(l.key, '') AS key, l.created_at, u.undoes IS NOT NULL AS undone
    FROM labels l LEFT JOIN (SELECT undoes FROM labels WHERE undoes IS NOT NULL) u ON u.undoes = l.id
"""

LABELS = pa.schema(
    [
        ("project_id", pa.int64()),
        ("sample_id", pa.int64()),
        ("action", pa.string()),
        ("label", pa.string()),
        ("source", pa.string()),
        ("author", pa.string()),
        ("duration_ms", pa.int64()),
        ("key", pa.string()),
        ("created_at", pa.timestamp("us")),
    ]
)

STATES = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("project_id", pa.int64()),
        ("status", pa.string()),
        ("label", pa.string()),
        ("label_id", pa.int64()),
        ("updated_at", pa.timestamp("us")),
    ]
)


class Labels:
    """The labels of all projects. Rows are only added; `sample_states` holds what counts now."""

    def __init__(
        self, database: Database, events: EventLog, counts: ProgressCounts, queue: LabelQueue
    ) -> None:
        self._database = database
        self._events = events
        self._counts = counts
        self._queue = queue

    async def save(self, project: Project, new: Sequence[NewLabel], caller: Caller) -> SavedLabels:
        """Save decisions, in this order; answered after the commit.

        Raises:
            InvalidInput: a label is not a class of the project, or stands where none belongs.
            NotFound: a sample is not one of the project's.
            Conflict: a key was used before for something else, or the project is not one of labeling.
        """
        require(caller, "label", project)
        _check(project, new)

        def work(transaction: Transaction) -> tuple[list[Label], int]:
            self._counts.load(transaction, project.id)
            by_key, before = _look_up(transaction, project.id, new)
            fresh: dict[str, NewLabel] = {}
            for one in new:
                earlier = by_key.get(one.key) or fresh.get(one.key)
                if earlier is None:
                    fresh[one.key] = one
                elif earlier.sample_id != one.sample_id or (
                    isinstance(earlier, Label) and earlier.project_id != project.id
                ):
                    raise Conflict(
                        f"The key '{one.key}' was used for another sample. Make a new key for each decision."
                    )
            if fresh:
                for saved in self._add(transaction, project, list(fresh.values()), before, caller):
                    by_key[saved.key] = saved
            return [by_key[one.key] for one in new], len(fresh)

        labels, saved = await self._database.write(work)
        return SavedLabels(
            saved=saved,
            duplicates=len(labels) - saved,
            labels=tuple(labels),
            progress=await self._counts.progress(project, caller),
        )

    async def undo(self, project: Project, undo: Undo, caller: Caller) -> Undone:
        """Take back the caller's newest decision that still counts, or the one named; the one before it counts again.

        Raises:
            NotFound: the project has no such label.
            Conflict: there is nothing to undo, or it is undone already.
        """
        require(caller, "label", project)

        def work(transaction: Transaction) -> Label:
            self._counts.load(transaction, project.id)
            before = transaction.row("SELECT project_id, undoes FROM labels WHERE key = ?", undo.key)
            if before is not None:
                if before["undoes"] is None or before["project_id"] != project.id:
                    raise Conflict(f"The key '{undo.key}' was used for something else. Make a new one.")
                return _label(transaction, before["undoes"])
            target = _to_undo(transaction, project, undo.label_id, caller)
            moment = now()
            transaction.execute(
                "INSERT INTO labels (project_id, sample_id, action, source, author, key, undoes, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                project.id,
                target.sample_id,
                target.action,
                target.source,
                caller.name,
                undo.key,
                target.id,
                moment,
            )
            before_state = _states(transaction, project.id, [target.sample_id])[target.sample_id]
            after_state = _restore(transaction, project.id, target.sample_id)
            self._counts.change(transaction, project.id, states=_difference([(before_state, after_state)]))
            self._events.record(
                transaction,
                "labels.undone",
                f"project:{project.id}",
                caller,
                project.owner_id,
                label_id=target.id,
                sample_ids=[target.sample_id],
            )
            transaction.after_commit(lambda: self._queue.refresh(project.id))
            return target.model_copy(update={"undone": True})

        label = await self._database.write(work)
        sample = await self._database.read(lambda cursor: read_sample(cursor, label.sample_id))
        return Undone(label=label, sample=sample, progress=await self._counts.progress(project, caller))

    async def page(self, project: Project, limit: int, offset: int, caller: Caller) -> Page[Label]:
        """Decisions, the newest first, those that were undone included."""
        require(caller, "read", project)

        def work(cursor: Cursor) -> Page[Label]:
            where = "WHERE l.project_id = ? AND l.undoes IS NULL"
            total = cursor.value(f"SELECT count(*) FROM labels l {where}", project.id)
            found = cursor.rows(
                f"{_SELECT} {where} ORDER BY l.id DESC LIMIT {limit:d} OFFSET {offset:d}", project.id
            )
            items = tuple(Label(**row) for row in found)
            return Page(items=items, total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def table(self, project: Project, caller: Caller) -> pa.Table:
        """All decisions as a table, the oldest first, with the fields of `Label` as columns."""
        require(caller, "read", project)
        return await self._database.read(
            lambda cursor: cursor.table(
                f"{_SELECT} WHERE l.project_id = ? AND l.undoes IS NULL ORDER BY l.id", project.id
            )
        )

    def _add(
        self,
        transaction: Transaction,
        project: Project,
        new: Sequence[NewLabel],
        before: dict[int, State | None],
        caller: Caller,
    ) -> list[Label]:
        unknown = sorted({one.sample_id for one in new} - before.keys())
        if unknown:
            raise NotFound(
                f"Project '{project.name}' has no sample {unknown[0]}"
                + (f" (nor {len(unknown) - 1} others of this request)." if len(unknown) > 1 else "."),
                [{"field": "sample_id", "reason": f"no sample {one}"} for one in unknown[:MAX_NAMED]],
            )
        moment = now()
        rows: list[dict[str, Any]] = [
            {
                "project_id": project.id,
                "sample_id": one.sample_id,
                "action": one.action,
                "label": one.label,
                "source": one.source,
                "author": caller.name,
                "duration_ms": one.duration_ms,
                "key": one.key,
                "created_at": moment,
            }
            for one in new
        ]
        # Of several decisions about one sample in one request, the last one counts.
        latest = {row["sample_id"]: row for row in rows}
        _delete_states(transaction, [one for one in latest if before[one] is not None])
        if len(rows) == 1:
            _insert_one(transaction, rows[0])
        else:
            _insert_many(transaction, rows, latest.values())
        self._counts.change(
            transaction,
            project.id,
            states=_difference(
                (before[sample_id], (STATUS[row["action"]], row["label"]))
                for sample_id, row in latest.items()
            ),
            durations_ms=[
                one.duration_ms for one in new if one.source == "human" and one.duration_ms is not None
            ],
        )
        self._events.record(
            transaction,
            "labels.saved",
            f"project:{project.id}",
            caller,
            project.owner_id,
            saved=len(rows),
            sample_ids=list(latest)[:MAX_NAMED],
        )
        transaction.after_commit(lambda: self._queue.decided(project.id, latest))
        return [Label(**row, undone=False) for row in rows]


def _check(project: Project, new: Sequence[NewLabel]) -> None:
    project.require_task()
    classes = set(project.classes)
    problems = []
    for position, one in enumerate(new):
        if one.action == "label" and one.label not in classes:
            reason = (
                "is missing" if one.label is None else f"'{one.label[:200]}' is not a class of this project"
            )
            problems.append({"field": f"labels.{position}.label", "reason": reason})
        elif one.action != "label" and one.label is not None:
            problems.append(
                {"field": f"labels.{position}.label", "reason": f"does not belong to '{one.action}'"}
            )
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InvalidInput(
            f"{problems[0]['field']}: {problems[0]['reason']}{more}. The classes are: {listed(project.classes)}.",
            problems[:MAX_NAMED],
        )


def listed(classes: Sequence[str], most: int = 20) -> str:
    """Class names for a message."""
    shown = ", ".join(classes[:most])
    return shown if len(classes) <= most else f"{shown}, … ({len(classes)} in all)"


def _look_up(
    cursor: Cursor, project_id: int, new: Sequence[NewLabel]
) -> tuple[dict[str, Label], dict[int, State | None]]:
    """The labels that were saved under the keys of `new`, and `_states` of its samples."""
    if len(new) > 1:
        by_key = _by_key(cursor, [one.key for one in new])
        return by_key, _states(cursor, project_id, [one.sample_id for one in new])
    (one,) = new
    # A statement costs half a millisecond however little it reads, so a single decision has one for all.
    found = cursor.rows(
        "SELECT 'sample' AS what, NULL AS status, NULL AS label FROM samples WHERE id = ? AND project_id = ? "
        "UNION ALL SELECT 'state', status, label FROM sample_states WHERE sample_id = ? "
        "UNION ALL SELECT 'key', NULL, NULL FROM labels WHERE key = ?",
        one.sample_id,
        project_id,
        one.sample_id,
        one.key,
    )
    rows = {row["what"]: row for row in found}
    state = (rows["state"]["status"], rows["state"]["label"]) if "state" in rows else None
    return (
        _by_key(cursor, [one.key]) if "key" in rows else {},
        {one.sample_id: state} if "sample" in rows else {},
    )


def _by_key(cursor: Cursor, keys: Sequence[str]) -> dict[str, Label]:
    """The labels that were saved under these keys."""
    found = cursor.column("SELECT id FROM labels WHERE key IN (SELECT unnest(?::VARCHAR[]))", list(keys))
    if not found:
        return {}
    rows = cursor.rows(f"{_SELECT} WHERE l.id IN (SELECT unnest(?::BIGINT[])) AND l.undoes IS NULL", found)
    if len(rows) < len(found):
        raise Conflict("A key was used for an undo. Make a new key for each decision.")
    return {row["key"]: Label(**row) for row in rows}


def _label(cursor: Cursor, label_id: int) -> Label:
    row = cursor.row(f"{_SELECT} WHERE l.id = ?", label_id)
    assert row is not None
    return Label(**row)


def _to_undo(cursor: Cursor, project: Project, label_id: int | None, caller: Caller) -> Label:
    if label_id is None:
        newest = cursor.value(
            "SELECT max(l.id) FROM labels l WHERE l.project_id = ? AND l.author = ? AND l.undoes IS NULL "
            "AND l.source <> 'import' AND NOT EXISTS (SELECT 1 FROM labels u WHERE u.undoes = l.id)",
            project.id,
            caller.name,
        )
        if newest is None:
            raise Conflict(
                f"There is nothing to undo: you have no decision in '{project.name}' that still counts."
            )
        return _label(cursor, newest)
    row = cursor.row(
        f"{_SELECT} WHERE l.id = ? AND l.project_id = ? AND l.undoes IS NULL", label_id, project.id
    )
    if row is None:
        raise NotFound(f"Project '{project.name}' has no label {label_id}.")
    if row["undone"]:
        raise Conflict(f"Label {label_id} is undone already.")
    return Label(**row)


def _states(cursor: Cursor, project_id: int, sample_ids: Sequence[int]) -> dict[int, State | None]:
    """What is decided about samples, None where nothing is; samples that the project lacks are left out."""
    rows = cursor.rows(
        "SELECT DISTINCT s.id, st.status, st.label FROM (SELECT unnest(?::BIGINT[]) AS id) wanted "
        "JOIN samples s ON s.id = wanted.id AND s.project_id = ? "
        "LEFT JOIN sample_states st ON st.sample_id = wanted.id",
        list(sample_ids),
        project_id,
    )
    return {row["id"]: None if row["status"] is None else (row["status"], row["label"]) for row in rows}


def _restore(transaction: Transaction, project_id: int, sample_id: int) -> State | None:
    """Let the newest decision about a sample that is not undone count; returns it."""
    row = transaction.row(
        "SELECT l.id, l.action, l.label, l.created_at FROM labels l WHERE l.sample_id = ? AND l.undoes IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM labels u WHERE u.undoes = l.id) ORDER BY l.id DESC LIMIT 1",
        sample_id,
    )
    if row is None:
        transaction.execute("DELETE FROM sample_states WHERE sample_id = ?", sample_id)
        return None
    status = STATUS[row["action"]]
    transaction.execute(
        "UPDATE sample_states SET status = ?, label = ?, label_id = ?, updated_at = ? WHERE sample_id = ?",
        status,
        row["label"],
        row["id"],
        row["created_at"],
        sample_id,
    )
    return status, row["label"]


def _delete_states(transaction: Transaction, sample_ids: list[int]) -> None:
    if sample_ids:
        transaction.execute(
            "DELETE FROM sample_states WHERE sample_id IN (SELECT unnest(?::BIGINT[]))", sample_ids
        )


def _insert_one(transaction: Transaction, row: dict[str, Any]) -> None:
    """Append a decision, which counts from now on, and give the row its id."""
    names = LABELS.names
    row["id"] = transaction.value(
        f"WITH saved AS (INSERT INTO labels ({', '.join(names)}) VALUES ({placeholders(names)}) RETURNING *) "
        f"INSERT INTO sample_states ({', '.join(STATES.names)}) "
        "SELECT sample_id, project_id, ?, label, id, created_at FROM saved RETURNING label_id",
        *(row[name] for name in names),
        STATUS[row["action"]],
    )


def _insert_many(
    transaction: Transaction, rows: list[dict[str, Any]], counting: Iterable[dict[str, Any]]
) -> None:
    """Append decisions, some of which count from now on, and give the rows their ids, in this order."""
    identities = sorted(transaction.column("SELECT nextval('label_ids') FROM range(?)", len(rows)))
    table = pa.Table.from_pylist(rows, LABELS)
    transaction.insert("labels", table.append_column("id", pa.array(identities, pa.int64())))
    for row, identity in zip(rows, identities, strict=True):
        row["id"] = identity
    states = [
        {
            "sample_id": row["sample_id"],
            "project_id": row["project_id"],
            "status": STATUS[row["action"]],
            "label": row["label"],
            "label_id": row["id"],
            "updated_at": row["created_at"],
        }
        for row in counting
    ]
    transaction.insert("sample_states", pa.Table.from_pylist(states, STATES))


def _difference(changes: Iterable[tuple[State | None, State | None]]) -> dict[State, int]:
    """How many samples each state gains or loses by these changes from one state to another."""
    difference: Counter[State] = Counter()
    for before, after in changes:
        if before is not None:
            difference[before] -= 1
        if after is not None:
            difference[after] += 1
    return dict(difference)
