"""What people say about the same samples, and whom the settings of a project ask next."""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from modelship_lab.records.labeling import MEASURES, LabelAction, LabelingSettings, Project, Purpose
from modelship_lab.server.storage.database import Cursor, placeholders

INFORMED: frozenset[Purpose] = frozenset({"review", "adjudication", "error", "request"})
"""Who decides for these sees what others have said, and nobody else is asked after that."""

DERIVED: frozenset[Purpose] = frozenset({"overlap", "review", "adjudication"})
"""What follows from the decisions about a sample and the project's settings."""

_RANGE = 1 << 32

TOUCHED = pa.schema([("sample_id", pa.int64())])


class Opinion(NamedTuple):
    """What one person says about a sample now."""

    sample_id: int
    label_id: int
    author: str
    action: LabelAction
    purpose: Purpose
    source: str
    in_bulk: bool
    label: str | None
    content: str | None


class Wanted(NamedTuple):
    """A request that follows from decisions."""

    sample_id: int
    purpose: Purpose
    not_by: tuple[str, ...]
    detail: str


def is_in_share(sample_id: int, salt: str, share: float) -> bool:
    """Whether a sample is in a share of all samples: the same one each time, evenly spread over them."""
    # Multiples of the golden ratio: D. Knuth, The Art of Computer Programming, volume 3, 6.4.
    return (sample_id * 2654435769 + zlib.crc32(salt.encode())) % _RANGE < share * _RANGE


def read_opinions(cursor: Cursor, project_id: int, touched: pa.Table) -> dict[int, list[Opinion]]:
    """What people say now about those samples, the newest last; samples nobody says anything about are left out."""
    found = cursor.rows_with(
        f"""
        WITH history AS MATERIALIZED (
            SELECT l.* FROM labels l
            WHERE l.project_id = ? AND l.sample_id IN (SELECT sample_id FROM touched)
        )
        SELECT sample_id, id AS label_id, author, action, purpose, source, coalesce(batch, '') <> '' AS in_bulk,
               label, content::VARCHAR AS content
        FROM history h
        WHERE undoes IS NULL AND source IN ('human', 'gold') AND action <> 'note'
          AND coalesce(purpose, 'label') NOT IN ({placeholders(sorted(MEASURES))})
          AND NOT EXISTS (SELECT 1 FROM history u WHERE u.undoes = h.id)
        QUALIFY row_number() OVER (PARTITION BY sample_id, author ORDER BY id DESC) = 1
        ORDER BY id
        """,
        {"touched": touched},
        project_id,
        *sorted(MEASURES),
    )
    opinions: dict[int, list[Opinion]] = {}
    for row in found:
        opinions.setdefault(row["sample_id"], []).append(Opinion(**row))
    return opinions


def wanted(project: Project, opinions: Sequence[Opinion]) -> Wanted | None:
    """Whom the settings ask about a sample, after what was said about it.

    Nobody if whoever spoke last knew what the others have said, as those do who label many samples in one act.
    Else first so many people as are to label it, none of whom sees what the others have said; then somebody who decides
    between them if they disagree, else somebody who looks at it again.
    """
    settings = project.settings
    newest = opinions[-1]
    if newest.source == "gold" or newest.purpose in INFORMED or (newest.in_bulk and len(opinions) > 1):
        return None
    sample_id = newest.sample_id
    people = tuple(sorted(one.author for one in opinions))
    if len(people) < overlap(settings, sample_id):
        return Wanted(sample_id, "overlap", people, "")
    said = [one for one in opinions if one.action == "label"]
    if len({one.label if one.content is None else one.content for one in said}) > 1:
        detail = " · ".join(f"{one.author}: {in_words(one)}" for one in said)
        return Wanted(sample_id, "adjudication", (), detail)
    if newest.action == "label" and is_in_share(sample_id, "review", settings.review_share):
        return Wanted(sample_id, "review", people, "")
    return None


def overlap(settings: LabelingSettings, sample_id: int) -> int:
    """How many people are to label a sample."""
    if settings.overlap > 1 and is_in_share(sample_id, "overlap", settings.overlap_share):
        return settings.overlap
    return 1


def in_words(opinion: Opinion) -> str:
    """A label for people."""
    if opinion.content is None:
        return opinion.label or "none"
    value: dict[str, Any] = orjson.loads(opinion.content)
    if "labels" in value:
        return ", ".join(value["labels"]) or "none"
    if "spans" in value:
        return ", ".join(f"{one['label']} {one['start']}–{one['end']}" for one in value["spans"]) or "none"
    if "number" in value:
        return f"{value['number']:.12g}"
    return _counted(one["label"] for one in value["boxes"]) or "none"


def _counted(names: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{count} × {name}" for name, count in sorted(counts.items()))
