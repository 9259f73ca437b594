"""Decisions that are taken back, one by one or all of a model, without being erased."""

import pyarrow as pa
import pyarrow.compute as pc

from modelship_lab.records.errors import Conflict, NotFound
from modelship_lab.records.labeling import Label, Project, Revoke, SavedBulk, Undo, Undone
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.follow_ups import FollowUps
from modelship_lab.server.labeling.label_rows import (
    CLASSES,
    OUTGROWN,
    STANDING,
    Act,
    read_label,
    saved_before,
    take_back,
)
from modelship_lab.server.labeling.labels import MAX_NAMED, Labels
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.progress import ProgressCounts
from modelship_lab.server.labeling.queue import LabelQueue
from modelship_lab.server.labeling.samples import read_sample
from modelship_lab.server.labeling.thresholds import outgrown
from modelship_lab.server.storage.database import Cursor, Database, Transaction


class Undoing:
    """Takes back what counts, so that what was decided before it counts again; and brings it back."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        counts: ProgressCounts,
        queue: LabelQueue,
        follow_ups: FollowUps,
        labels: Labels,
    ) -> None:
        self._database = database
        self._events = events
        self._counts = counts
        self._queue = queue
        self._follow_ups = follow_ups
        self._labels = labels

    async def undo(self, project: Project, undo: Undo, caller: Caller) -> Undone:
        """Take back the caller's newest act that still counts, or the decision or batch named.

        What was decided before it counts again.

        Raises:
            NotFound: the project has no such label or batch.
            Conflict: there is nothing to undo, or it is undone already.
        """
        require(caller, "label", project)

        def work(transaction: Transaction) -> tuple[Label, int]:
            self._counts.load(transaction, project.id)
            if undo.batch is not None and (back := self._bring_back(transaction, project, undo, caller)):
                return back
            before = transaction.row("SELECT project_id, undoes, batch FROM labels WHERE key = ?", undo.key)
            if before is not None:
                if before["undoes"] is None or before["project_id"] != project.id:
                    raise Conflict(f"The key '{undo.key}' was used for something else. Make a new one.")
                count = transaction.value(
                    "SELECT count(*) FROM labels WHERE batch = ? AND undoes IS NOT NULL", undo.key
                )
                return read_label(transaction, before["undoes"]), count
            targets = _to_undo(transaction, project, undo, caller)
            label = read_label(transaction, max(targets["id"].to_pylist()))
            self._take_back(transaction, project, targets, undo.key, caller)
            return label.model_copy(update={"undone": True}), targets.num_rows

        label, count = await self._database.write(work)
        sample = await self._database.read(lambda cursor: read_sample(cursor, label.sample_id))
        progress = await self._counts.progress(project, caller)
        return Undone(label=label, sample=sample, count=count, progress=progress)

    async def revoke(self, project: Project, revoke: Revoke, caller: Caller) -> SavedBulk:
        """Take back every automatic label of one model version or rule, or those that no longer reach the thresholds.

        What people decided afterwards stays as it is.

        Raises:
            NotFound: it has made no label, or none that still counts.
        """
        require(caller, "label", project)

        def work(transaction: Transaction) -> int:
            self._counts.load(transaction, project.id)
            if (revoked := saved_before(transaction, project, revoke.key, "revocation")) is not None:
                return revoked
            if revoke.outgrown:
                targets = outgrown(transaction, project)
                missing = f"Every automatic label of '{project.name}' reaches its threshold."
            else:
                targets = transaction.table(
                    f"SELECT l.id, l.sample_id FROM labels l WHERE l.project_id = ? AND l.origin = ? "
                    f"AND l.source IN ('rule', 'model') AND {STANDING}",
                    project.id,
                    revoke.origin,
                )
                missing = f"'{revoke.origin}' has made no label in '{project.name}' that still stands."
            if targets.num_rows == 0:
                raise NotFound(missing)
            origin = OUTGROWN if revoke.outgrown else ""
            self._take_back(transaction, project, targets, revoke.key, caller, origin)
            return int(targets.num_rows)

        revoked = await self._database.write(work)
        return SavedBulk(
            saved=revoked, batch=revoke.key, progress=await self._counts.progress(project, caller)
        )

    def _bring_back(
        self, transaction: Transaction, project: Project, undo: Undo, caller: Caller
    ) -> tuple[Label, int] | None:
        """Say again what a revocation took back, where nothing was said since; None if the batch is none.

        Raises:
            Conflict: something was said about every one of its samples since.
        """
        said = "SELECT max(id), count(*) FROM labels WHERE batch = ? AND project_id = ? AND undoes IS NULL"
        ((newest, count),) = transaction.tuples(said, undo.key, project.id)
        if newest is not None:
            return read_label(transaction, newest), count
        rows = transaction.table(
            f"SELECT l.sample_id, l.label, l.content::VARCHAR AS content, {CLASSES} AS classes, l.confidence, "
            "l.source, l.origin, NOT EXISTS (SELECT 1 FROM labels n WHERE n.sample_id = l.sample_id AND n.id > u.id) "
            "AS is_last FROM labels u JOIN labels l ON l.id = u.undoes "
            "WHERE u.project_id = ? AND u.batch = ? AND l.source IN ('rule', 'model') AND l.action = 'label'",
            project.id,
            undo.batch,
        )
        if rows.num_rows == 0:
            return None
        rows = rows.filter(rows["is_last"])
        if rows.num_rows == 0:
            raise Conflict(f"Nothing of batch {undo.batch} can be brought back: others spoke since.")
        for source, origin in set(zip(rows["source"].to_pylist(), rows["origin"].to_pylist(), strict=True)):
            of_origin = pc.and_(pc.equal(rows["source"], source), pc.equal(rows["origin"], origin))
            chosen = rows.filter(of_origin).select(["sample_id", "label", "content", "classes", "confidence"])
            act = Act(caller.name, undo.key, source=source, origin=origin)
            self._labels.add_many(transaction, project, chosen, act, caller)
        ((newest, count),) = transaction.tuples(said, undo.key, project.id)
        return read_label(transaction, newest), count

    def _take_back(
        self,
        transaction: Transaction,
        project: Project,
        targets: pa.Table,
        key: str,
        caller: Caller,
        origin: str = "",
    ) -> None:
        self._labels.keys.add(key)
        change = take_back(transaction, targets, caller.name, key, origin)
        self._counts.change(transaction, project.id, states=change)
        self._follow_ups.undone(transaction, project, targets)
        self._events.record(
            transaction,
            "labels.undone",
            f"project:{project.id}",
            caller,
            project.owner_id,
            label_id=max(targets["id"].to_pylist()),
            undone=targets.num_rows,
            sample_ids=targets["sample_id"].slice(0, MAX_NAMED).to_pylist(),
        )
        transaction.after_commit(lambda: self._queue.refresh(project.id))


def _to_undo(cursor: Cursor, project: Project, undo: Undo, caller: Caller) -> pa.Table:
    """Ids and samples of the decisions that are to be taken back together."""
    batch = undo.batch
    label_id = undo.label_id
    if batch is None and label_id is None:
        # What models and rules did in the caller's name was no act of the caller's.
        newest = cursor.row(
            f"SELECT l.id, l.batch FROM labels l WHERE l.project_id = ? AND l.author = ? "
            f"AND l.source IN ('human', 'gold') AND {STANDING} ORDER BY l.id DESC LIMIT 1",
            project.id,
            caller.name,
        )
        if newest is None:
            raise Conflict(
                f"There is nothing to undo: you have no decision in '{project.name}' that still counts."
            )
        label_id, batch = newest["id"], newest["batch"]
    column, value, what = ("batch", batch, "batch") if batch is not None else ("id", label_id, "label")
    found = cursor.table(
        f"SELECT l.id, l.sample_id, {STANDING} AS standing FROM labels l "
        f"WHERE l.{column} = ? AND l.project_id = ? AND l.undoes IS NULL",
        value,
        project.id,
    )
    if found.num_rows == 0:
        raise NotFound(f"Project '{project.name}' has no {what} {value}.")
    standing = found.filter(found["standing"])
    if standing.num_rows == 0:
        raise Conflict(f"{what.capitalize()} {value} is undone already.")
    return standing.select(["id", "sample_id"])
