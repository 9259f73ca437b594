"""The rows of decisions, and of what counts because of them."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from modelship_lab.records.errors import Conflict
from modelship_lab.records.labeling import (
    AUTOMATIC,
    MEASURES,
    Label,
    LabelAction,
    LabelSource,
    NewLabel,
    Project,
    Purpose,
    SampleStatus,
    Value,
    value_fields,
)
from modelship_lab.server.labeling.label_keys import LabelKeys
from modelship_lab.server.labeling.progress import State
from modelship_lab.server.storage.database import Cursor, Transaction, now

# What was imported has no key of its own.
SELECT = """
    SELECT l.id, l.project_id, l.sample_id, l.action, l.label, l.content::VARCHAR AS content, l.note, l.source,
           l.origin, l.confidence, l.purpose, l.author, l.duration_ms, coalesce(l.key, '') AS key,
           coalesce(l.batch, '') AS batch, l.created_at, u.undoes IS NOT NULL AS undone
    FROM labels l LEFT JOIN (SELECT undoes FROM labels WHERE undoes IS NOT NULL) u ON u.undoes = l.id
"""

STANDING = "l.undoes IS NULL AND NOT EXISTS (SELECT 1 FROM labels u WHERE u.undoes = l.id)"
"""A decision, not an undo, that was not taken back."""

OUTGROWN = "threshold"
"""The origin of an undo that a higher threshold caused: what it took back may come again from where it came."""

_MEASURES = ", ".join(f"'{one}'" for one in sorted(MEASURES))

COUNTING = f"{STANDING} AND l.action <> 'note' AND l.purpose NOT IN ({_MEASURES})"
"""Of the decisions about a sample for which this holds, the newest one counts."""

_STATE_COLUMNS = (
    "sample_id, project_id, status, label, content, classes, source, origin, author, label_id, updated_at"
)

VALUES = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("label", pa.string()),
        ("content", pa.string()),
        ("classes", pa.list_(pa.string())),
        ("confidence", pa.float64()),
        ("note", pa.string()),
    ]
)
"""What `add_many` stores for each sample; `confidence` and `note` may be left out."""

_STATE_OF_LABEL = """
    l.sample_id, l.project_id,
    CASE WHEN l.action = 'skip' THEN 'skipped' WHEN l.action = 'flag' THEN 'flagged'
        WHEN l.source IN ('rule', 'model') THEN 'auto' ELSE 'labeled' END,
    l.label, l.content, {classes}, l.source, l.origin, l.author, l.id, l.created_at
"""

CLASSES = """
    CASE WHEN l.content IS NOT NULL THEN list_sort(list_distinct(
        coalesce((l.content->'labels')::VARCHAR[], json_extract_string(l.content, '$.spans[*].label'))
        || json_extract_string(l.content, '$.boxes[*].label'))) END
"""


@dataclass(frozen=True)
class Act:
    """What many decisions that are saved together have in common."""

    author: str
    batch: str
    action: LabelAction = "label"
    source: LabelSource = "human"
    origin: str = ""
    purpose: Purpose = "label"

    @property
    def counts(self) -> bool:
        """Whether the decisions change what counts."""
        return counts(self)


def status_of(action: LabelAction, source: LabelSource) -> SampleStatus:
    """What a sample is after a decision."""
    if action == "skip":
        return "skipped"
    if action == "flag":
        return "flagged"
    return "auto" if source in AUTOMATIC else "labeled"


def label_of(row: Mapping[str, Any]) -> Label:
    """A decision from a row of `SELECT`, or from one that is about to be saved."""
    fields = {"undone": False, **row}
    del fields["content"]
    return Label(**{**fields, **value_fields(row["label"], row["content"])})


def read_label(cursor: Cursor, label_id: int) -> Label:
    """The decision with this id, which is there."""
    row = cursor.row(f"{SELECT} WHERE l.id = ?", label_id)
    assert row is not None
    return label_of(row)


def look_up(
    transaction: Transaction,
    project_id: int,
    new: Sequence[NewLabel],
    keys: LabelKeys,
    undecided: Collection[int] = (),
) -> tuple[dict[str, Label], dict[int, State | None]]:
    """The decisions that were saved under the keys of `new`, and the `states` of its samples.

    Args:
        undecided: samples of the project that nobody has decided about in an earlier transaction.
    """
    by_key = {
        one.key: label_of(row) for one in new if (row := transaction.find("labels", one.key)) is not None
    }
    asked = [one.key for one in new if one.key not in by_key and keys.may_have(one.key)]
    if asked:
        by_key |= _by_key(transaction.beside_journal, asked)
    known: dict[int, State | None] = dict.fromkeys(undecided)
    for one in new:
        if (put := transaction.find("sample_states", one.sample_id)) is not None and (
            put["project_id"] == project_id
        ):
            known[one.sample_id] = _state(put)
    wanted = list({one.sample_id for one in new} - known.keys())
    if wanted:
        known |= states(transaction.beside_journal, project_id, wanted)
    return by_key, known


def saved_before(transaction: Transaction, project: Project, key: str, what: str) -> int | None:
    """How many decisions an earlier request with this key has saved or taken back; None if there was none."""
    found = transaction.row(
        "SELECT count(*) AS saved, min(project_id) AS project_id FROM labels WHERE batch = ?", key
    )
    assert found is not None
    if found["saved"] == 0:
        return None
    if found["project_id"] != project.id:
        raise Conflict(f"The key '{key}' was used for something else. Make a new one for each {what}.")
    return int(found["saved"])


def states(cursor: Cursor, project_id: int, sample_ids: Sequence[int]) -> dict[int, State | None]:
    """What is decided about samples, None where nothing is; samples that the project lacks are left out."""
    rows = cursor.rows(
        "SELECT DISTINCT s.id, st.status, st.label, st.classes FROM (SELECT unnest(?::BIGINT[]) AS id) wanted "
        "JOIN samples s ON s.id = wanted.id AND s.project_id = ? "
        "LEFT JOIN sample_states st ON st.sample_id = wanted.id",
        list(sample_ids),
        project_id,
    )
    return {row["id"]: None if row["status"] is None else _state(row) for row in rows}


def insert(
    transaction: Transaction, project_id: int, new: Sequence[NewLabel], keys: LabelKeys, author: str
) -> list[Label]:
    """Append decisions in this order."""
    moment = now()
    saved = []
    for identity, one in zip(transaction.next_ids("label_ids", len(new)), new, strict=True):
        label = {
            "id": identity,
            "project_id": project_id,
            "sample_id": one.sample_id,
            "action": one.action,
            "label": one.label,
            "content": one.content,
            "note": one.note,
            "source": one.source,
            "origin": one.origin,
            "confidence": one.confidence,
            "purpose": one.purpose,
            "author": author,
            "duration_ms": one.duration_ms,
            "key": one.key,
            "created_at": moment,
        }
        keys.add(one.key)
        transaction.put("labels", label, key="key")
        saved.append(label_of(label))
        if counts(one):
            # Of several decisions about one sample in one request, the last one counts.
            state = {
                "sample_id": one.sample_id,
                "project_id": project_id,
                "status": status_of(one.action, one.source),
                "label": one.label,
                "content": one.content,
                "classes": stored_classes(one),
                "source": one.source,
                "origin": one.origin,
                "author": author,
                "label_id": identity,
                "updated_at": moment,
            }
            transaction.put("sample_states", state, key="sample_id", replaces=True)
        if one.note:
            note = {
                "sample_id": one.sample_id,
                "project_id": project_id,
                "note": one.note,
                "label_id": identity,
            }
            transaction.put("sample_notes", note, key="sample_id", replaces=True)
    return saved


def add_many(transaction: Transaction, project_id: int, rows: pa.Table, act: Act) -> dict[State, int]:
    """Append one decision for each row of a table with the columns `VALUES`, whose samples are the project's.

    Returns:
        How many samples each state gains or loses.
    """
    moment = now()
    before = _tally(transaction, rows) if act.counts else Counter()
    first = transaction.value("SELECT coalesce(max(id), 0) FROM labels")
    confidence = "confidence" if "confidence" in rows.column_names else "NULL"
    note = "coalesce(note, '')" if "note" in rows.column_names else "''"
    transaction.rows_with(
        "INSERT INTO labels (project_id, sample_id, action, label, content, note, source, origin, confidence, "
        f"purpose, author, batch, created_at) SELECT ?, sample_id, ?, label, content, {note}, ?, ?, {confidence}, "
        "?, ?, ?, ? FROM decided ORDER BY sample_id",
        {"decided": rows},
        project_id,
        act.action,
        act.source,
        act.origin,
        act.purpose,
        act.author,
        act.batch,
        moment,
    )
    if "note" in rows.column_names:
        _store_notes(transaction, project_id, first)
    if not act.counts:
        return {}
    if before:
        transaction.rows_with(
            "DELETE FROM sample_states WHERE sample_id IN (SELECT sample_id FROM decided)", {"decided": rows}
        )
    transaction.rows_with(
        f"INSERT INTO sample_states ({_STATE_COLUMNS}) "
        f"SELECT {_STATE_OF_LABEL.format(classes='i.classes')} "
        "FROM labels l JOIN decided i ON i.sample_id = l.sample_id WHERE l.id > ? ORDER BY l.sample_id",
        {"decided": rows},
        first,
    )
    after = _tally(transaction, rows)
    after.subtract(before)
    return dict(after)


def take_back(
    transaction: Transaction, targets: pa.Table, author: str, key: str, origin: str = ""
) -> dict[State, int]:
    """Append an undo for each decision of a table with the columns `id` and `sample_id`.

    What counted before counts again. All of them have `key` as their batch, the newest as its key, too.

    Args:
        origin: what caused it, when that was no person.

    Returns:
        How many samples each state gains or loses.
    """
    tables = {"targets": targets}
    before = _tally(transaction, targets)
    transaction.rows_with(
        "INSERT INTO labels (project_id, sample_id, action, source, origin, purpose, author, key, batch, undoes, "
        "created_at) SELECT l.project_id, l.sample_id, l.action, l.source, ?, l.purpose, ?, "
        "CASE WHEN l.id = (SELECT max(id) FROM targets) THEN ? END, ?, l.id, ? "
        "FROM labels l JOIN targets USING (id) ORDER BY l.id",
        tables,
        origin,
        author,
        key,
        key,
        now(),
    )
    transaction.rows_with(
        "DELETE FROM sample_states WHERE sample_id IN (SELECT sample_id FROM targets)", tables
    )
    transaction.rows_with(
        f"INSERT INTO sample_states ({_STATE_COLUMNS}) "
        f"SELECT {_STATE_OF_LABEL.format(classes=CLASSES)} FROM labels l WHERE l.id IN ("
        f"SELECT max(l.id) FROM labels l WHERE l.sample_id IN (SELECT sample_id FROM targets) AND {COUNTING} "
        "GROUP BY l.sample_id) ORDER BY l.sample_id",
        tables,
    )
    newest = (
        "l.id IN (SELECT max(l.id) FROM labels l WHERE l.sample_id IN (SELECT sample_id FROM targets) "
        f"AND {STANDING} AND {{0}} GROUP BY l.sample_id)"
    )
    for table, columns, values, which in (
        ("sample_notes", "note", "l.note", "l.note <> ''"),
        (
            "gold",
            "label, content, author, created_at",
            "l.label, l.content, l.author, l.created_at",
            "l.source = 'gold'",
        ),
    ):
        transaction.rows_with(
            f"DELETE FROM {table} WHERE sample_id IN (SELECT sample_id FROM targets)", tables
        )
        transaction.rows_with(
            f"INSERT INTO {table} (sample_id, project_id, label_id, {columns}) "
            f"SELECT l.sample_id, l.project_id, l.id, {values} FROM labels l WHERE {newest.format(which)}",
            tables,
        )
    after = _tally(transaction, targets)
    after.subtract(before)
    return dict(after)


def _store_notes(transaction: Transaction, project_id: int, after: int) -> None:
    """Let the notes of the decisions that came after a label's id be those that are shown."""
    transaction.execute(
        "DELETE FROM sample_notes WHERE sample_id IN (SELECT sample_id FROM labels WHERE id > ? AND note <> '')",
        after,
    )
    transaction.execute(
        "INSERT INTO sample_notes (sample_id, project_id, note, label_id) "
        "SELECT sample_id, ?, arg_max(note, id), max(id) FROM labels WHERE id > ? AND note <> '' AND undoes IS NULL "
        "GROUP BY sample_id",
        project_id,
        after,
    )


def difference(changes: Iterable[tuple[State | None, State | None]]) -> dict[State, int]:
    """How many samples each state gains or loses by these changes from one state to another."""
    result: Counter[State] = Counter()
    for before, after in changes:
        if before is not None:
            result[before] -= 1
        if after is not None:
            result[after] += 1
    return dict(result)


def counts(decision: NewLabel | Act) -> bool:
    """Whether a decision changes what counts."""
    return decision.action != "note" and decision.purpose not in MEASURES


def state_after(decision: NewLabel) -> State:
    """What is decided about a sample by a decision that counts."""
    return status_of(decision.action, decision.source), decision.classes


def stored_classes(value: Value) -> list[str] | None:
    """The column `classes` of what is said: None for a single class, which stands in `label`."""
    return None if value.content is None else list(value.classes)


def _state(row: Mapping[str, Any]) -> State:
    classes = row["classes"]
    if classes is None:
        return row["status"], () if row["label"] is None else (row["label"],)
    return row["status"], tuple(classes)


def _tally(transaction: Transaction, samples: pa.Table) -> Counter[State]:
    """How many of the samples in the column `sample_id` are in each state."""
    found = transaction.rows_with(
        "SELECT status, label, classes, count(*) AS samples FROM sample_states "
        "WHERE sample_id IN (SELECT sample_id FROM tallied) GROUP BY ALL",
        {"tallied": samples.select(["sample_id"])},
    )
    return Counter({_state(row): row["samples"] for row in found})


def _by_key(cursor: Cursor, keys: Sequence[str]) -> dict[str, Label]:
    """The decisions that were saved under these keys."""
    if len(keys) == 1:
        # This way the index is asked.
        found = cursor.column("SELECT id FROM labels WHERE key = ?", keys[0])
    else:
        found = cursor.column("SELECT id FROM labels WHERE key IN (SELECT unnest(?::VARCHAR[]))", list(keys))
    if not found:
        return {}
    rows = cursor.rows(f"{SELECT} WHERE l.id IN (SELECT unnest(?::BIGINT[])) AND l.undoes IS NULL", found)
    if len(rows) < len(found):
        raise Conflict("A key was used for an undo. Make a new key for each decision.")
    return {row["key"]: label_of(row) for row in rows}
