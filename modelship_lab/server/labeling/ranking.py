"""In which order samples that nobody has decided about are handed out, and why each of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from modelship_lab.records.labeling import Project, QueueOrder
from modelship_lab.server.labeling.diversity import CHOSEN, farthest_first
from modelship_lab.server.labeling.thresholds import NEVER, needed
from modelship_lab.server.storage.database import Cursor

NOT_DECIDED = "NOT EXISTS (SELECT 1 FROM sample_states st WHERE st.sample_id = {id} AND st.project_id = ?)"


class Ranked(NamedTuple):
    """A sample in its place."""

    sample_id: int
    reason: str


class Ranking(NamedTuple):
    """Samples that nobody has decided about, best first."""

    samples: list[Ranked]
    complete: bool
    """There are no others."""


def rank(cursor: Cursor, project: Project, order: QueueOrder, size: int) -> Ranking:
    """The first `size` samples of an order."""
    project_id = project.id
    if order == "below_threshold":
        return _below_threshold(cursor, project, size)
    if order == "sequential":
        return _by(cursor, project_id, "s.id", size, "in the order of the import")
    if order == "random":
        return _mixed(cursor, project_id, size, "random")
    if order == "diversity":
        return _by_diversity(cursor, project_id, size)
    return _by_suggestion(cursor, project_id, order, size)


def _by(cursor: Cursor, project_id: int, order: str, size: int, reason: str) -> Ranking:
    found = cursor.column(
        f"SELECT s.id FROM samples s WHERE s.project_id = ? AND {NOT_DECIDED.format(id='s.id')} "
        f"ORDER BY {order} LIMIT {size:d}",
        project_id,
        project_id,
    )
    return Ranking([Ranked(one, reason) for one in found], len(found) < size)


def _mixed(cursor: Cursor, project_id: int, size: int, reason: str) -> Ranking:
    # Mixed, but the same each time: the sample on screen must not change because of a reload.
    return _by(cursor, project_id, "hash(s.id), s.id", size, reason)


def _confidence(figure: float, confidence: float) -> str:
    return f"confidence {confidence:.0%}".replace("%", " %")


def _margin(figure: float, confidence: float) -> str:
    return f"the two likeliest classes are {1 - figure:.0%} apart".replace("%", " %")


def _entropy(figure: float, confidence: float) -> str:
    return f"entropy {figure:.2f}"


_FIGURES: dict[str, Callable[[float, float], str]] = {
    "uncertainty": _confidence,
    "margin": _margin,
    "entropy": _entropy,
}


def _by_suggestion(cursor: Cursor, project_id: int, column: str, size: int) -> Ranking:
    # The suggestions alone are sorted, without their samples: that takes a third of the time.
    found = cursor.tuples(
        f"SELECT g.sample_id, g.{column}, g.confidence FROM suggestions g WHERE g.project_id = ? "
        f"AND g.{column} IS NOT NULL AND {NOT_DECIDED.format(id='g.sample_id')} "
        f"ORDER BY g.{column} DESC, hash(g.sample_id), g.sample_id LIMIT {size:d}",
        project_id,
        project_id,
    )
    reason = _FIGURES[column]
    ranked = [Ranked(sample_id, reason(figure, confidence)) for sample_id, figure, confidence in found]
    return _completed(cursor, project_id, ranked, size, "no suggestion yet")


def _below_threshold(cursor: Cursor, project: Project, size: int) -> Ranking:
    """The least sure first; no others come after them."""
    threshold, parameters = needed(project, "g")
    found = cursor.tuples(
        f"SELECT sample_id, confidence, threshold FROM (SELECT g.*, {threshold} AS threshold FROM suggestions g "
        f"WHERE g.project_id = ? AND {NOT_DECIDED.format(id='g.sample_id')}) "
        f"WHERE confidence < threshold ORDER BY confidence, hash(sample_id), sample_id LIMIT {size:d}",
        *parameters,
        project.id,
        project.id,
    )
    ranked = [Ranked(sample_id, _too_unsure(confidence, needs)) for sample_id, confidence, needs in found]
    return Ranking(ranked, len(ranked) < size)


def _too_unsure(confidence: float, needs: float) -> str:
    needed = "no threshold for it" if needs == NEVER else f"below {needs:.0%}".replace("%", " %")
    return f"{_confidence(0, confidence)}, {needed}"


def _by_diversity(cursor: Cursor, project_id: int, size: int) -> Ranking:
    found = farthest_first(cursor, project_id)
    if not found:
        return _mixed(cursor, project_id, size, "random, as there are no embeddings yet")
    ranked = [Ranked(sample_id, reason) for sample_id, reason in found]
    # What is far from everything now is so no longer when those before it are labeled: no more than these.
    most = size if len(ranked) < CHOSEN else CHOSEN
    return _completed(cursor, project_id, ranked, most, "no embedding yet")


def _completed(cursor: Cursor, project_id: int, ranked: Sequence[Ranked], size: int, reason: str) -> Ranking:
    """With those that the order says nothing about at the end, in an order that says nothing about their content."""
    missing = size - len(ranked)
    if missing <= 0:
        return Ranking(list(ranked), False)
    found = cursor.column(
        f"SELECT s.id FROM samples s WHERE s.project_id = ? AND {NOT_DECIDED.format(id='s.id')} "
        "AND s.id NOT IN (SELECT unnest(?::BIGINT[])) "
        f"ORDER BY hash(s.id), s.id LIMIT {missing:d}",
        project_id,
        project_id,
        [one.sample_id for one in ranked],
    )
    return Ranking([*ranked, *(Ranked(one, reason) for one in found)], len(found) < missing)
