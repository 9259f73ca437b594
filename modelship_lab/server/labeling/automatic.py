"""How far automatic labels can be trusted: thresholds chosen by known answers, and blind audits."""

import asyncio
from typing import Any

import numpy as np

from modelship_lab.records.labeling import AuditReport, OriginAudit, Project, ThresholdChoice, Thresholds
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.label_rows import STANDING
from modelship_lab.server.labeling.ownership import require
from modelship_lab.server.labeling.quality import rate
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

    async def thresholds(self, project: Project, precision: float, caller: Caller) -> Thresholds:
        """The lowest thresholds from which on stored suggestions were right as often as wanted.

        Known are the answers of people, imports and gold. The light model's suggestions for labeled samples
        are of models that have not seen them; those of other models may have been seen in training.
        """
        require(caller, "read", project)
        project.require_task()
        found = await self._database.read(lambda cursor: cursor.tuples(_KNOWN, project.id))
        return await asyncio.to_thread(_chosen, project, precision, found)

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


def _chosen(project: Project, precision: float, known: list[tuple[Any, ...]]) -> Thresholds:
    confidences = np.array([row[0] for row in known], np.float64)
    is_right = np.array([row[2] for row in known], bool)
    of_class: dict[str, list[int]] = {name: [] for name in project.classes}
    for place, (_, classes, _) in enumerate(known):
        for name in classes:
            of_class[name].append(place)
    return Thresholds(
        precision=precision,
        overall=_choice(None, confidences, is_right, precision),
        classes=tuple(
            _choice(name, confidences[places], is_right[places], precision)
            for name, places in ((name, np.array(found, np.int64)) for name, found in of_class.items())
        ),
    )


def _choice(
    name: str | None, confidences: np.ndarray, is_right: np.ndarray, precision: float
) -> ThresholdChoice:
    if not len(confidences):
        return ThresholdChoice(name=name, known=0, threshold=None, precision=rate(0, 0))
    order = np.argsort(-confidences, kind="stable")
    confidences, is_right = confidences[order], is_right[order]
    right = np.cumsum(is_right)
    reached = np.arange(1, len(right) + 1)
    # A threshold takes all suggestions that are equally sure.
    is_last = np.append(confidences[1:] < confidences[:-1], True)
    fits = np.flatnonzero(is_last & (right / reached >= precision) & (reached >= LEAST_KNOWN))
    last = int(fits[-1]) if len(fits) else len(right) - 1
    return ThresholdChoice(
        name=name,
        known=len(right),
        threshold=float(confidences[last]) if len(fits) else None,
        precision=rate(int(right[last]), last + 1),
    )
