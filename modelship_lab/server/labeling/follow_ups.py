"""What decisions mean for requests: which they answer, and which they give rise to."""

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa

from modelship_lab.records.labeling import MEASURES, Label, Project, Purpose
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
from modelship_lab.server.labeling.request_rows import COLUMNS, RequestRows, request_of
from modelship_lab.server.storage.database import Transaction, placeholders

_FIRST_OPINIONS: frozenset[Purpose] = frozenset({"label", "overlap"})

_ANY_DECISION: frozenset[Purpose] = frozenset({"error", "request"})
"""These are done with once anybody has decided about the sample, for whatever purpose."""

MADE = pa.schema(
    [("label_id", pa.int64()), ("sample_id", pa.int64()), ("author", pa.string()), ("purpose", pa.string())]
)


class FollowUps:
    """Keeps the requests of a project in step with what is said about its samples."""

    def __init__(self, rows: RequestRows) -> None:
        self._rows = rows

    def decided(
        self, transaction: Transaction, project: Project, made: Sequence[Label], fresh: Collection[int] = ()
    ) -> None:
        """Decisions were saved in this transaction: note what they answer and what they give rise to.

        Args:
            fresh: samples that nobody had decided about before.
        """
        self._rows.load_in(transaction, project.id)
        made = [one for one in made if one.source in ("human", "gold") and one.action != "note"]
        if not made:
            return
        touched = {one.sample_id for one in made}
        if self._rows.may_concern(transaction, project.id, touched):
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
        self._rows.meet(transaction, project.id, [(one.author, one.sample_id) for one in made])

    def decided_many(self, transaction: Transaction, project: Project, samples: pa.Table, act: Act) -> None:
        """`decided` for many decisions of one act; `samples` has the column `sample_id`."""
        self._rows.load_in(transaction, project.id)
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
            transaction.after_commit(lambda: self._rows.forget(project.id))
        else:
            transaction.after_commit(lambda: self._rows.forget_gold(project.id))

    def undone(self, transaction: Transaction, project: Project, targets: pa.Table) -> None:
        """Decisions were taken back in this transaction: what they had answered waits again.

        Args:
            targets: the columns `id` and `sample_id`.
        """
        self._rows.load_in(transaction, project.id)
        tables = {"targets": targets}
        back = transaction.tuples_with(
            "UPDATE requests SET label_id = NULL WHERE project_id = ? AND label_id IN (SELECT id FROM targets) "
            f"RETURNING {COLUMNS}",
            tables,
            project.id,
        )
        self._rows.change(transaction, project.id, added=[request_of(row) for row in back])
        by_people = transaction.tuples_with(
            "SELECT DISTINCT t.sample_id FROM targets t JOIN labels l USING (id) WHERE l.source IN ('human', 'gold')",
            tables,
        )
        touched = {one for (one,) in by_people}
        self._derive(transaction, project, _touched(touched))
        transaction.after_commit(lambda: self._rows.forget_gold(project.id, touched))

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
            RETURNING {", ".join(f"requests.{name}" for name in COLUMNS.split(", "))}
            """,
            {"made": table},
            project_id,
            *derived,
            *any_decision,
            *measures,
        )
        self._rows.change(transaction, project_id, removed=[request_of(row) for row in answered])

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
            f"SELECT {COLUMNS} FROM requests WHERE project_id = ? AND label_id IS NULL AND batch = '' "
            "AND sample_id IN (SELECT sample_id FROM touched)",
            {"touched": touched},
            project.id,
        )
        gone = []
        for request in map(request_of, rows):
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
            self._rows.change(transaction, project.id, removed=gone)
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
        self._rows.insert(transaction, project.id, rows)

    def _insert_wanted(self, transaction: Transaction, project: Project, asks: Sequence[Wanted]) -> None:
        self._rows.insert(
            transaction, project.id, [{**one._asdict(), "not_by": list(one.not_by)} for one in asks]
        )


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
