"""What changed between two snapshots."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from modelship_lab.records.labeling import SampleChange, Snapshot, SnapshotDiff, Value
from modelship_lab.server.storage.database import Cursor

MAX_CHANGES = 100
PREVIEW_LENGTH = 200

_BOTH = "FROM before_rows e FULL OUTER JOIN after_rows l ON e.sample_id = l.sample_id"


def compare(
    cursor: Cursor, before: Snapshot, before_path: Path, after: Snapshot, after_path: Path
) -> SnapshotDiff:
    """Compare the files of two snapshots of one project."""
    with pa.memory_map(str(before_path)) as earlier, pa.memory_map(str(after_path)) as later:
        tables = {"before_rows": _said(cursor, before, earlier), "after_rows": _said(cursor, after, later)}
        (counts,) = cursor.rows_with(
            "SELECT count(*) FILTER (e.sample_id IS NULL) AS added, "
            "count(*) FILTER (l.sample_id IS NULL) AS removed, count(*) FILTER (e.said <> l.said) AS relabeled, "
            "count(*) FILTER (e.said IS NOT NULL AND l.said IS NOT NULL AND e.split IS DISTINCT FROM l.split) "
            f"AS moved, count(*) FILTER (e.said = l.said) AS same {_BOTH}",
            tables,
        )
        rows = cursor.rows_with(
            "SELECT coalesce(l.sample_id, e.sample_id) AS sample_id, e.value AS before, l.value AS after, "
            f"coalesce(l.preview, e.preview) AS preview {_BOTH} WHERE e.said IS DISTINCT FROM l.said "
            "ORDER BY CASE WHEN e.said IS NULL THEN 1 WHEN l.said IS NULL THEN 2 ELSE 0 END, 1 "
            f"LIMIT {MAX_CHANGES:d}",
            tables,
        )
    changes = tuple(
        SampleChange(
            sample_id=row["sample_id"],
            before=_value(before, row["before"]),
            after=_value(after, row["after"]),
            preview=row["preview"],
        )
        for row in rows
    )
    return SnapshotDiff(before=before, after=after, **counts, changes=changes)


def _said(cursor: Cursor, snapshot: Snapshot, source: pa.MemoryMappedFile) -> pa.Table:
    """The columns sample_id, split, value, said (the value as text, to be compared) and preview."""
    table = pa.ipc.open_file(source).read_all()
    if "split" not in table.column_names:
        # Older snapshots have none.
        table = table.append_column("split", pa.nulls(table.num_rows, pa.string()))
    shown = [name for name in ("text", "image", *snapshot.features) if name in table.column_names]
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in shown)
    with cursor.registered({"snapshot_rows": table}):
        return cursor.table(
            f"SELECT sample_id, split, {snapshot.kind} AS value, {snapshot.kind}::VARCHAR AS said, "
            f"left(concat_ws(', ', {quoted}), {PREVIEW_LENGTH:d}) AS preview FROM snapshot_rows"
        )


def _value(snapshot: Snapshot, stored: Any) -> Value | None:
    if stored is None:
        return None
    if snapshot.kind == "label":
        return Value(label=snapshot.classes[stored])
    if snapshot.kind == "labels":
        return Value(labels=tuple(snapshot.classes[code] for code in stored))
    return Value(**{snapshot.kind: stored})
