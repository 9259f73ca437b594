"""Decisions about samples: saved once however often they are sent, and undone without being erased."""

from collections.abc import Container, Iterable, Sequence
from uuid import uuid4

import pyarrow as pa

from modelship_lab.records.base import Page
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound
from modelship_lab.records.labeling import (
    Decision,
    Label,
    NewBulk,
    NewGold,
    NewLabel,
    Project,
    SavedBulk,
    SavedGold,
    SavedLabels,
)
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.follow_ups import FollowUps
from modelship_lab.server.labeling.label_keys import LabelKeys
from modelship_lab.server.labeling.label_rows import (
    SELECT,
    VALUES,
    Act,
    add_many,
    counts,
    difference,
    insert,
    label_of,
    look_up,
    saved_before,
    state_after,
    states,
    stored_classes,
)
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.progress import ProgressCounts, State
from modelship_lab.server.labeling.queue import LabelQueue
from modelship_lab.server.labeling.sample_filter import matching
from modelship_lab.server.storage.database import Cursor, Database, Transaction

MAX_NAMED = 100
"""Samples that an event names; a bulk of labels is told by its size."""


class Labels:
    """The labels of all projects. Rows are only added; `sample_states` holds what counts now."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        counts: ProgressCounts,
        queue: LabelQueue,
        follow_ups: FollowUps,
    ) -> None:
        self._database = database
        self._events = events
        self._counts = counts
        self._queue = queue
        self._follow_ups = follow_ups
        self.keys = LabelKeys()

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
            self.keys.load(transaction)
            named = [one.sample_id for one in new]
            undecided = () if transaction.is_plain else self._queue.undecided(project.id, named)
            by_key, before = look_up(transaction, project.id, new, self.keys, undecided)
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

    async def save_bulk(self, project: Project, new: NewBulk, caller: Caller) -> SavedBulk:
        """Save one decision about all samples that a filter means.

        Raises:
            InvalidInput: a label is not a class of the project, or stands where none belongs.
            Conflict: there are not as many samples as expected, or none; nothing was saved then.
        """
        require(caller, "label", project)
        _check(project, [new])
        from_where, parameters = matching(project, new.samples)

        def work(transaction: Transaction) -> int:
            self._counts.load(transaction, project.id)
            if (saved := saved_before(transaction, project, new.key, "bulk")) is not None:
                return saved
            samples = transaction.table(f"SELECT s.id AS sample_id {from_where}", *parameters)
            count = samples.num_rows
            if count == 0:
                raise Conflict("There is no such sample (any more): nothing was saved.")
            if new.expected is not None and new.expected != count:
                raise Conflict(
                    f"{new.expected:,} samples were expected, but now these are {count:,}: nothing was saved. "
                    "Look at them again."
                )
            act = Act(caller.name, new.key, new.action, new.source, new.origin, new.purpose)
            self.add_many(transaction, project, _repeated(new, samples["sample_id"]), act, caller)
            return int(count)

        saved = await self._database.write(work)
        return SavedBulk(saved=saved, batch=new.key, progress=await self._counts.progress(project, caller))

    async def save_gold(self, project: Project, new: Sequence[NewGold], caller: Caller) -> SavedGold:
        """Save known answers: they count as labels, and replace what was known of the same samples.

        Raises:
            InvalidInput: a label is not a class of the project.
            NotFound: a sample is not one of the project's.
        """
        require(caller, "write", project)
        by_sample = {one.sample_id: one for one in new}
        _check(project, [Decision(**one.model_dump(exclude={"sample_id"})) for one in by_sample.values()])
        rows = pa.Table.from_pylist(
            [
                {
                    "sample_id": one.sample_id,
                    "label": one.label,
                    "content": one.content,
                    "classes": stored_classes(one),
                }
                for one in by_sample.values()
            ],
            VALUES,
        )

        def work(transaction: Transaction) -> None:
            self._counts.load(transaction, project.id)
            _require_samples(project, by_sample, states(transaction, project.id, list(by_sample)))
            act = Act(caller.name, uuid4().hex, source="gold")
            self.add_many(transaction, project, rows, act, caller)
            transaction.rows_with(
                "DELETE FROM gold WHERE sample_id IN (SELECT sample_id FROM known)", {"known": rows}
            )
            transaction.execute(
                "INSERT INTO gold (sample_id, project_id, label, content, label_id, author, created_at) "
                "SELECT sample_id, project_id, label, content, id, author, created_at FROM labels WHERE batch = ?",
                act.batch,
            )

        await self._database.write(work)
        return SavedGold(saved=len(by_sample), progress=await self._counts.progress(project, caller))

    def add_many(
        self, transaction: Transaction, project: Project, rows: pa.Table, act: Act, caller: Caller
    ) -> None:
        """Save one decision for each row of a table with the columns `label_rows.VALUES`, in a write of the caller's.

        The samples are the project's, and the values fit it. `ProgressCounts.load` comes before.
        """
        self._counts.change(transaction, project.id, states=add_many(transaction, project.id, rows, act))
        self._follow_ups.decided_many(transaction, project, rows, act)
        self._events.record(
            transaction,
            "labels.saved",
            f"project:{project.id}",
            caller,
            project.owner_id,
            saved=rows.num_rows,
            sample_ids=rows["sample_id"].slice(0, MAX_NAMED).to_pylist(),
            batch=act.batch,
            source=act.source,
        )
        transaction.after_commit(lambda: self._queue.decided_many(project.id, rows))

    async def page(self, project: Project, limit: int, offset: int, caller: Caller) -> Page[Label]:
        """Decisions, the newest first, those that were undone included."""
        require(caller, "read", project)

        def work(cursor: Cursor) -> Page[Label]:
            where = "WHERE l.project_id = ? AND l.undoes IS NULL"
            total = cursor.value(f"SELECT count(*) FROM labels l {where}", project.id)
            found = cursor.rows(
                f"{SELECT} {where} ORDER BY l.id DESC LIMIT {limit:d} OFFSET {offset:d}", project.id
            )
            items = tuple(label_of(row) for row in found)
            return Page(items=items, total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def table(self, project: Project, caller: Caller) -> pa.Table:
        """All decisions as a table, the oldest first, with the fields of `Label` as columns."""
        require(caller, "read", project)
        return await self._database.read(
            lambda cursor: cursor.table(
                f"{SELECT} WHERE l.project_id = ? AND l.undoes IS NULL ORDER BY l.id", project.id
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
        _require_samples(project, [one.sample_id for one in new], before)
        _check_spans(transaction.beside_journal, project, new)
        # Of several decisions about one sample in one request, the last one counts.
        latest = {one.sample_id: one for one in new if counts(one)}
        saved = insert(transaction, project.id, new, self.keys, caller.name)
        self._counts.change(
            transaction,
            project.id,
            states=difference((before[sample_id], state_after(one)) for sample_id, one in latest.items()),
            durations_ms=[
                one.duration_ms for one in new if one.source == "human" and one.duration_ms is not None
            ],
        )
        named = list(dict.fromkeys(one.sample_id for one in new))
        self._events.record(
            transaction,
            "labels.saved",
            f"project:{project.id}",
            caller,
            project.owner_id,
            saved=len(saved),
            sample_ids=named[:MAX_NAMED],
        )
        transaction.after_commit(lambda: self._queue.decided(project.id, named))
        fresh = {one for one, state in before.items() if state is None}
        self._follow_ups.decided(transaction, project, saved, fresh)
        return saved


def _check(project: Project, new: Sequence[Decision]) -> None:
    kind = project.kind
    classes = set(project.classes)
    problems = []
    for position, one in enumerate(new):
        field, reason = "label", ""
        if one.source == "gold":
            field, reason = "source", "cannot be 'gold' here: known answers have a way of their own"
        elif one.action != "label":
            field = one.kind or "note"
            if one.kind is not None:
                reason = f"does not belong to '{one.action}'"
            elif one.action == "note" and not one.note:
                reason = "is missing"
        elif one.kind != kind:
            field = one.kind or kind
            reason = "is missing" if one.kind is None else f"does not belong to this project: give `{kind}`"
        elif unknown := [name for name in one.classes if name not in classes]:
            field, reason = kind, f"'{unknown[0][:200]}' is not a class of this project"
        elif one.number is not None:
            field, reason = kind, project.settings.number_problem(one.number)
        if reason:
            problems.append({"field": f"labels.{position}.{field}", "reason": reason})
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        known = f" The classes are: {listed(project.classes)}." if project.classes else ""
        raise InvalidInput(
            f"{problems[0]['field']}: {problems[0]['reason']}{more}.{known}",
            problems[:MAX_NAMED],
        )


def _check_spans(cursor: Cursor, project: Project, new: Sequence[NewLabel]) -> None:
    ends = {one.sample_id: max(span.end for span in one.spans) for one in new if one.spans}
    if not ends:
        return
    beyond = cursor.row(
        "SELECT s.id, length(s.text) AS characters FROM samples s JOIN "
        "(SELECT unnest(?::BIGINT[]) AS id, unnest(?::BIGINT[]) AS last) wanted ON wanted.id = s.id "
        "WHERE s.project_id = ? AND wanted.last > length(s.text) LIMIT 1",
        list(ends),
        list(ends.values()),
        project.id,
    )
    if beyond is not None:
        raise InvalidInput(
            f"spans: one ends at {ends[beyond['id']]:,}, but the text of sample {beyond['id']} has "
            f"{beyond['characters']:,} characters."
        )


def _require_samples(project: Project, wanted: Iterable[int], known: Container[int]) -> None:
    unknown = sorted({one for one in wanted if one not in known})
    if unknown:
        raise NotFound(
            f"Project '{project.name}' has no sample {unknown[0]}"
            + (f" (nor {len(unknown) - 1} others of this request)." if len(unknown) > 1 else "."),
            [{"field": "sample_id", "reason": f"no sample {one}"} for one in unknown[:MAX_NAMED]],
        )


def _repeated(decision: Decision, sample_ids: pa.ChunkedArray) -> pa.Table:
    """The same decision about many samples, with the columns `VALUES`."""
    same = {
        "label": decision.label,
        "content": decision.content,
        "classes": stored_classes(decision),
        "confidence": decision.confidence,
        "note": decision.note,
    }
    columns = [
        pa.repeat(pa.scalar(value, VALUES.field(name).type), len(sample_ids)) for name, value in same.items()
    ]
    return pa.table([sample_ids, *columns], schema=VALUES)


def listed(classes: Sequence[str], most: int = 20) -> str:
    """Class names for a message."""
    shown = ", ".join(classes[:most])
    return shown if len(classes) <= most else f"{shown}, … ({len(classes)} in all)"
