"""How far automatic labels can be trusted: thresholds chosen by known answers, and blind audits."""

import asyncio
from typing import Any

import numpy as np

from modelship_lab.records.labeling import (
    AuditReport,
    OriginAudit,
    Project,
    Rate,
    ThresholdChoice,
    Thresholds,
)
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.acceptance import UNDECIDED, UNREVOKED
from modelship_lab.server.labeling.label_rows import STANDING
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.quality import rate
from modelship_lab.server.labeling.thresholds import NEVER
from modelship_lab.server.storage.database import Cursor, Database

LEAST_KNOWN = 20
"""Fewer suggestions than this above a threshold say nothing of how often they are right."""

MOST_KNOWN = 200_000

# Gold comes first; else what a person has said, or what came with the sample. Nothing automatic is known to be right.
_KNOWN = f"""
    SELECT g.confidence, coalesce(g.classes, [g.label]) AS classes,
           coalesce(g.label, g.content::VARCHAR) = coalesce(k.label, k.content::VARCHAR, st.label, st.content::VARCHAR)
               AS is_right
    FROM suggestions g
    LEFT JOIN gold k ON k.sample_id = g.sample_id
    LEFT JOIN sample_states st ON st.sample_id = g.sample_id AND st.status = 'labeled'
    WHERE g.project_id = ? AND (k.sample_id IS NOT NULL OR st.sample_id IS NOT NULL)
    ORDER BY g.sample_id DESC LIMIT {MOST_KNOWN:d}
"""

_WAITING = f"""
    SELECT name, count(*) AS waiting, count(*) FILTER (is_open AND confidence >= needed) AS accepted
    FROM (
        SELECT g.confidence, {UNREVOKED} AS is_open, t.name, t.needed
        FROM suggestions g
        JOIN (SELECT unnest(?::VARCHAR[]) AS name, unnest(?::DOUBLE[]) AS needed) t
        ON t.name IS NULL OR list_contains(coalesce(g.classes, [g.label]), t.name)
        WHERE g.project_id = ? AND {UNDECIDED}
    )
    GROUP BY name
"""

# The automatic label that stood when somebody was asked; that it was revoked since does not make it right.
_AUDITED = f"""
    SELECT a.origin, count(*) AS audited,
           count(*) FILTER (coalesce(a.label, a.content::VARCHAR) <> coalesce(d.label, d.content::VARCHAR)) AS wrong
    FROM (
        SELECT l.id, l.sample_id, l.label, l.content,
               (SELECT max(m.id) FROM labels m WHERE m.sample_id = l.sample_id AND m.id < l.id
                AND m.source IN ('rule', 'model') AND m.undoes IS NULL) AS automatic_id
        FROM labels l
        WHERE l.project_id = ? AND l.purpose = 'audit' AND l.action = 'label' AND {STANDING}
    ) d JOIN labels a ON a.id = d.automatic_id
    GROUP BY a.origin
"""


class AutomaticLabels:
    """Measures suggestions and automatic labels against what people say."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def thresholds(
        self, project: Project, precision: float, caller: Caller, confidence: float | None = None
    ) -> Thresholds:
        """The lowest thresholds from which on stored suggestions were right as often as wanted, and what they would do.

        Known are the answers of people, imports and gold. The light model's suggestions for labeled samples
        are of models that have not seen them; those of other models may have been seen in training.

        Args:
            confidence: a threshold that is looked at in place of those that reach the precision.
        """
        require(caller, "read", project)
        project.require_task()
        found = await self._database.read(lambda cursor: cursor.tuples(_KNOWN, project.id))
        chosen = await asyncio.to_thread(_chosen, project, precision, confidence, found)
        choices = {one.name: one for one in (chosen.overall, *chosen.classes)}
        needed = [NEVER if one.threshold is None else one.threshold for one in choices.values()]
        ids = (project.id,) * 3
        waiting = await self._database.read(
            lambda cursor: cursor.tuples(_WAITING, ids[0], list(choices), needed, *ids[1:])
        )
        for name, of_name, accepted in waiting:
            counts = {"accepted": accepted, "review": of_name - accepted}
            choices[name] = choices[name].model_copy(update=counts)
        overall, *classes = choices.values()
        return chosen.model_copy(update={"overall": overall, "classes": tuple(classes)})

    async def audits(self, project: Project, caller: Caller) -> AuditReport:
        """How often automatic labels were wrong in blind audits, by what made them."""
        require(caller, "read", project)

        def work(cursor: Cursor) -> tuple[list[dict[str, Any]], dict[str, int]]:
            standing = cursor.tuples(
                "SELECT origin, count(*) FROM sample_states WHERE project_id = ? AND status = 'auto' GROUP BY origin",
                project.id,
            )
            return cursor.rows(_AUDITED, project.id), dict(standing)

        audited, standing = await self._database.read(work)
        counts = {row["origin"]: (row["wrong"], row["audited"]) for row in audited}
        return AuditReport(
            origins=tuple(
                OriginAudit(
                    origin=origin,
                    labels=standing.get(origin, 0),
                    audited=counts.get(origin, (0, 0))[1],
                    errors=rate(*counts.get(origin, (0, 0))),
                )
                for origin in sorted(standing.keys() | counts.keys())
            )
        )


def _chosen(
    project: Project, precision: float, confidence: float | None, known: list[tuple[Any, ...]]
) -> Thresholds:
    confidences = np.array([row[0] for row in known], np.float64)
    is_right = np.array([row[2] for row in known], bool)
    of_class: dict[str, list[int]] = {name: [] for name in project.classes}
    for place, (_, classes, _) in enumerate(known):
        for name in classes:
            of_class[name].append(place)

    def choose(name: str | None, confidences: np.ndarray, is_right: np.ndarray) -> ThresholdChoice:
        if confidence is None:
            return _choice(name, confidences, is_right, precision)
        reached = is_right[confidences >= confidence]
        return _unapplied(name, len(is_right), confidence, rate(int(reached.sum()), len(reached)))

    return Thresholds(
        precision=precision if confidence is None else None,
        overall=choose(None, confidences, is_right),
        classes=tuple(
            choose(name, confidences[places], is_right[places])
            for name, places in ((name, np.array(found, np.int64)) for name, found in of_class.items())
        ),
    )


def _choice(
    name: str | None, confidences: np.ndarray, is_right: np.ndarray, precision: float
) -> ThresholdChoice:
    if not len(confidences):
        return _unapplied(name, 0, None, rate(0, 0))
    order = np.argsort(-confidences, kind="stable")
    confidences, is_right = confidences[order], is_right[order]
    right = np.cumsum(is_right)
    reached = np.arange(1, len(right) + 1)
    # A threshold takes all suggestions that are equally sure.
    is_last = np.append(confidences[1:] < confidences[:-1], True)
    fits = np.flatnonzero(is_last & (right / reached >= precision) & (reached >= LEAST_KNOWN))
    last = int(fits[-1]) if len(fits) else len(right) - 1
    threshold = float(confidences[last]) if len(fits) else None
    return _unapplied(name, len(right), threshold, rate(int(right[last]), last + 1))


def _unapplied(name: str | None, known: int, threshold: float | None, precision: Rate) -> ThresholdChoice:
    return ThresholdChoice(
        name=name, known=known, threshold=threshold, precision=precision, accepted=0, review=0
    )
