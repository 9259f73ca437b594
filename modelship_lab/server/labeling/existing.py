"""Rows of an import whose samples are there already, and what becomes of what they say.

SQL here names the tables of an import: `staged_rows` (its checked rows), `repeated_rows` (`row`, `first`: those whose
content an earlier row has) and `present_rows` (`row`, `sample_id`, `first`: those whose sample the project has).
"""

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from modelship_lab.records.labeling import Existing, Match, Project
from modelship_lab.server.labeling.label_rows import VALUES
from modelship_lab.server.storage.database import Cursor, Transaction

_NEW = 'i."row" NOT IN (SELECT "row" FROM repeated_rows)'


def repeated_rows(cursor: Cursor, staged: pa.Table) -> pa.Table:
    """The rows whose content an earlier row of the file has: `row`, `first`."""
    with cursor.registered({"staged_rows": staged}):
        return cursor.table(
            'SELECT i."row", r.first FROM staged_rows i JOIN (SELECT content_hash, min("row") AS first '
            "FROM staged_rows GROUP BY content_hash HAVING count(*) > 1) r USING (content_hash) "
            'WHERE i."row" <> r.first ORDER BY i."row"'
        )


def present_rows(
    transaction: Transaction, project: Project, match: Match, tables: dict[str, pa.Table]
) -> pa.Table:
    """The rows whose sample the project has, by content, or by name and else by content.

    Returns:
        `row`, `sample_id`, and the `first` row of the file that means this sample.
    """
    by_content = (
        'SELECT i."row", s.id AS sample_id, 1 AS rank FROM staged_rows i JOIN samples s '
        f"ON s.content_hash = i.content_hash AND s.project_id = ? WHERE {_NEW}"
    )
    by_name = (
        'SELECT i."row", n.sample_id, 0 AS rank FROM staged_rows i JOIN (SELECT name, min(id) AS sample_id '
        "FROM samples WHERE project_id = ? AND name IS NOT NULL GROUP BY name) n ON n.name = i.name "
        f"WHERE {_NEW}"
    )
    found = by_content if match == "content" else f"{by_name} UNION ALL {by_content}"
    with transaction.registered(tables):
        return transaction.table(
            'SELECT "row", sample_id, min("row") OVER (PARTITION BY sample_id) AS first '
            f'FROM (SELECT "row", arg_min(sample_id, rank) AS sample_id FROM ({found}) GROUP BY "row") ORDER BY "row"',
            *[project.id] * (1 if match == "content" else 2),
        )


def missing_rows(transaction: Transaction, tables: dict[str, pa.Table]) -> list[tuple[int, str]]:
    """The rows without a content whose name no sample has: number and name."""
    with transaction.registered(tables):
        return [
            (row, name)
            for row, name in transaction.tuples(
                'SELECT i."row", i.name FROM staged_rows i WHERE i.content_hash IS NULL '
                'AND i."row" NOT IN (SELECT "row" FROM present_rows) ORDER BY i."row"'
            )
        ]


def said_of_present(transaction: Transaction, tables: dict[str, pa.Table]) -> pa.Table:
    """What the first row of each sample that is there says about it, beside what the sample is labeled with."""
    with transaction.registered(tables):
        return transaction.table(
            """
            SELECT p."row", p.sample_id, i.label, i.content, i.classes, i.suggested, i.suggested_content,
                   i.suggested_classes, i.confidence, st.status, st.label AS present_label,
                   st.content::VARCHAR AS present_content, i.content_hash <> s.content_hash AS is_other
            FROM present_rows p JOIN staged_rows i USING ("row") JOIN samples s ON s.id = p.sample_id
            LEFT JOIN sample_states st ON st.sample_id = p.sample_id
            WHERE p.first = p."row" ORDER BY p."row"
            """
        )


def to_take_over(
    transaction: Transaction, project: Project, said: pa.Table, existing: Existing
) -> tuple[pa.Table, list[tuple[int, str]]]:
    """The labels that are taken over, with columns of `VALUES`; and the rows of those that are not, with what stays.

    What a model or rule has labeled gives way; what people said only when it is to be replaced.
    """
    labeled = said.filter(pc.or_(pc.is_valid(said["label"]), pc.is_valid(said["content"])))
    taken: list[bool] = []
    kept: list[tuple[int, str]] = []
    for row in labeled.select(
        ["row", "label", "content", "status", "present_label", "present_content", "is_other"]
    ).to_pylist():
        if project.kind == "spans" and row["is_other"]:
            kept.append((row["row"], "the text that the spans lie in is another one"))
            taken.append(False)
        elif row["status"] in (None, "auto"):
            taken.append(True)
        elif (row["label"], _read(row["content"])) == (row["present_label"], _read(row["present_content"])):
            taken.append(False)
        elif existing == "replace":
            taken.append(True)
        else:
            kept.append((row["row"], row["present_label"] or row["present_content"] or row["status"]))
            taken.append(False)
    chosen = labeled.filter(pa.array(taken, pa.bool_()))
    return chosen.select(["sample_id", "label", "content", "classes"]).cast(
        pa.schema([VALUES.field(name) for name in ("sample_id", "label", "content", "classes")])
    ), kept


def _read(content: str | None) -> object:
    return None if content is None else orjson.loads(content)
