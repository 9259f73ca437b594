"""How good the human labels of a project are."""

import asyncio
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson

from modelship_lab.records.labeling import (
    ClassAgreement,
    LabelerQuality,
    PairAgreement,
    Project,
    Quality,
    Rate,
)
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.agreement import (
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    krippendorff_alpha_of_numbers,
    pairs_of_raters,
    specific_agreement,
)
from modelship_lab.server.labeling.label_rows import STANDING
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.storage.database import Cursor, Database

MAX_OPINIONS = 200_000
"""The newest ones of samples that several people labeled."""

MATCHING_OVERLAP = 0.5
"""Two boxes of one class mean the same thing from this intersection over union on."""

Row = dict[str, Any]

# What each person says about each sample now: their newest decision that stands, blind repeats aside.
_OPINIONS = f"""
    SELECT l.sample_id, l.author, arg_max(coalesce(l.label, l.content::VARCHAR), l.id) AS said, max(l.id) AS id
    FROM labels l
    WHERE l.project_id = ? AND l.action = 'label' AND l.source = 'human' AND l.purpose <> 'repeat' AND {STANDING}
    GROUP BY l.sample_id, l.author
"""


class LabelQuality:
    """Measures the labels of projects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self, project: Project, caller: Caller) -> Quality:
        """Agreement between people, with known answers, and with themselves."""
        require(caller, "read", project)
        project.require_task()

        def read(cursor: Cursor) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
            shared = cursor.rows(
                f"SELECT sample_id, author, said FROM ({_OPINIONS}) "
                f"QUALIFY count(*) OVER (PARTITION BY sample_id) > 1 ORDER BY id DESC LIMIT {MAX_OPINIONS:d}",
                project.id,
            )
            known = cursor.rows(
                "SELECT o.author, o.said = coalesce(g.label, g.content::VARCHAR) AS same "
                f"FROM ({_OPINIONS}) o JOIN gold g ON g.sample_id = o.sample_id",
                project.id,
            )
            repeated = cursor.rows(
                "SELECT r.author, coalesce(r.label, r.content::VARCHAR) = o.said AS same "
                f"FROM labels r JOIN ({_OPINIONS}) o ON o.sample_id = r.sample_id AND o.author = r.author "
                "WHERE r.project_id = ? AND r.purpose = 'repeat' AND r.action = 'label' AND r.undoes IS NULL "
                "AND NOT EXISTS (SELECT 1 FROM labels u WHERE u.undoes = r.id)",
                project.id,
                project.id,
            )
            people = cursor.rows(
                "SELECT l.author, count(*) AS labels, median(l.duration_ms) / 1000 AS seconds FROM labels l "
                f"WHERE l.project_id = ? AND l.source = 'human' AND l.action <> 'note' AND {STANDING} "
                "GROUP BY l.author ORDER BY labels DESC, l.author",
                project.id,
            )
            return shared, known, repeated, people

        return await asyncio.to_thread(_quality, project, *await self._database.read(read))


def rate(right: int, total: int) -> Rate:
    """A share with its 95 % interval."""
    if total == 0:
        return Rate(right=0, total=0, rate=None, low=None, high=None)
    # Takes half a second to import, and is seldom needed.
    from scipy.stats import binomtest

    interval = binomtest(right, total).proportion_ci(method="wilson")
    return Rate(
        right=right, total=total, rate=right / total, low=float(interval.low), high=float(interval.high)
    )


def _quality(
    project: Project, shared: list[Row], known: list[Row], repeated: list[Row], people: list[Row]
) -> Quality:
    gold, repeats = _rates(known), _rates(repeated)
    labelers = tuple(
        LabelerQuality(
            author=row["author"],
            labels=row["labels"],
            seconds_per_label=row["seconds"],
            gold=gold.get(row["author"], rate(0, 0)),
            repeats=repeats.get(row["author"], rate(0, 0)),
        )
        for row in people
    )
    authors, raters = _numbers(row["author"] for row in shared)
    samples, units = _numbers(row["sample_id"] for row in shared)
    _, categories = _numbers(row["said"] for row in shared)
    parts = [_parts(project, row["said"]) for row in shared]
    distinct = Counter(unit for unit, _ in set(zip(units.tolist(), categories.tolist(), strict=True)))
    disagreements = sum(1 for count in distinct.values() if count > 1)
    if project.kind == "boxes":
        parts = _matched(units, parts)
    nominal = project.kind in ("label", "labels")
    alpha = krippendorff_alpha(units, categories) if nominal else None
    if project.kind == "number":
        alpha = krippendorff_alpha_of_numbers(units, np.array([place for ((_, place),) in parts], np.float64))
    fleiss, fleiss_samples = fleiss_kappa(units, categories) if nominal else (None, 0)
    return Quality(
        samples=len(samples),
        disagreements=disagreements,
        krippendorff_alpha=alpha,
        fleiss_kappa=fleiss,
        fleiss_samples=fleiss_samples,
        labelers=labelers,
        pairs=tuple(_pairs(authors, units, raters, categories, parts, nominal)),
        classes=tuple(_classes(project, units, parts)),
    )


def _rates(rows: Iterable[Row]) -> dict[str, Rate]:
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        counts[row["author"]][0] += bool(row["same"])
        counts[row["author"]][1] += 1
    return {author: rate(right, total) for author, (right, total) in counts.items()}


def _numbers(values: Iterable[Any]) -> tuple[list[Any], np.ndarray]:
    """The distinct values in order of first occurrence, and the number of each."""
    places: dict[Any, int] = {}
    numbers = [places.setdefault(value, len(places)) for value in values]
    return list(places), np.array(numbers, np.int64)


Part = tuple[str, Any]
"""A class that was found, and where; the same part from two people is agreement."""


def _parts(project: Project, said: str) -> list[Part]:
    if project.kind == "label":
        return [(said, None)]
    value = orjson.loads(said)
    if project.kind == "labels":
        return [(name, None) for name in value["labels"]]
    if project.kind == "spans":
        return [(one["label"], (one["start"], one["end"])) for one in value["spans"]]
    if project.kind == "number":
        return [("", value["number"])]
    return [(one["label"], (one["x"], one["y"], one["width"], one["height"])) for one in value["boxes"]]


def _matched(units: np.ndarray, parts: list[list[Part]]) -> list[list[Part]]:
    """Boxes that mean the same thing get the same place: that of the first of them."""
    seen: defaultdict[tuple[int, str], list[Any]] = defaultdict(list)
    result = []
    for unit, found in zip(units.tolist(), parts, strict=True):
        renamed: list[Part] = []
        taken: set[Any] = set()
        for name, box in found:
            known = [other for other in seen[unit, name] if other not in taken]
            best = max(known, key=lambda other: _overlap(box, other), default=None)
            if best is None or _overlap(box, best) < MATCHING_OVERLAP:
                best = box
                seen[unit, name].append(box)
            taken.add(best)
            renamed.append((name, best))
        result.append(renamed)
    return result


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def _pairs(
    authors: list[str],
    units: np.ndarray,
    raters: np.ndarray,
    categories: np.ndarray,
    parts: list[list[Part]],
    nominal: bool,
) -> Iterable[PairAgreement]:
    if not nominal:
        # The opinion's own number in place of a category leads to its parts.
        categories = np.arange(len(units))
    for first, second, one, other in pairs_of_raters(units, raters, categories):
        if nominal:
            agreement, kappa = float(np.mean(one == other)), cohen_kappa(one, other)
        else:
            scores = [
                _f1(set(parts[mine]), set(parts[theirs]))
                for mine, theirs in zip(one.tolist(), other.tolist(), strict=True)
            ]
            agreement, kappa = statistics.fmean(scores), None
        yield PairAgreement(
            first=authors[first], second=authors[second], samples=len(one), agreement=agreement, kappa=kappa
        )


def _f1(one: set[Part], other: set[Part]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0


def _classes(project: Project, units: np.ndarray, parts: list[list[Part]]) -> Iterable[ClassAgreement]:
    opinions = np.bincount(units) if len(units) else np.zeros(0)
    found: defaultdict[str, Counter[tuple[int, Any]]] = defaultdict(Counter)
    for unit, said in zip(units.tolist(), parts, strict=True):
        for name, place in set(said):
            found[name][unit, place] += 1
    for name in project.classes:
        counts = found[name]
        times = np.array(list(counts.values()), np.float64)
        looked = np.array([opinions[unit] for unit, _ in counts], np.float64)
        yield ClassAgreement(
            name=name,
            samples=len({unit for unit, _ in counts}),
            agreement=specific_agreement(times, looked),
        )
