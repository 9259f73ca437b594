"""Suggestions that are sure enough become labels by themselves; see `LabelingSettings.threshold`."""

from uuid import uuid4

import pyarrow as pa

from modelship_lab.records.labeling import Project
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.label_rows import OUTGROWN, VALUES, Act
from modelship_lab.server.labeling.labels import Labels
from modelship_lab.server.labeling.thresholds import has_threshold, needed
from modelship_lab.server.storage.database import Transaction

RULES = "rules"
"""What the sources of suggestions by rules begin with."""


def accept(
    transaction: Transaction, project: Project, labels: Labels, caller: Caller, among: pa.Table | None = None
) -> int:
    """Make labels of the stored suggestions that reach the thresholds of their classes; returns how many.

    Only for samples about which nothing is decided: what people said stays, and what an earlier model
    said, too. A suggestion whose label was taken back before does not come again from the same source.
    All labels of one source are one act. `ProgressCounts.load` comes before.

    Args:
        among: has a column `sample_id`: only these samples are meant.
    """
    if not has_threshold(project):
        return 0
    tables = {}
    meant = ""
    if among is not None:
        tables["meant_samples"] = among.select(["sample_id"])
        meant = "AND g.sample_id IN (SELECT sample_id FROM meant_samples)"
    threshold, parameters = needed(project, "g")
    with transaction.registered(tables):
        chosen = transaction.table(
            _CHOICE.format(meant=meant, threshold=threshold), project.id, project.id, project.id, *parameters
        )
    saved = 0
    for source in chosen["source"].unique().to_pylist():
        rows = chosen.filter(pa.compute.equal(chosen["source"], source))
        is_rule = source.partition(":")[0] == RULES
        act = Act(author=caller.name, batch=uuid4().hex, source="rule" if is_rule else "model", origin=source)
        columns = [name for name in VALUES.names if name in rows.column_names]
        labels.add_many(transaction, project, rows.select(columns), act, caller)
        saved += rows.num_rows
    return saved


UNDECIDED = """
    NOT EXISTS (SELECT 1 FROM sample_states st WHERE st.sample_id = g.sample_id AND st.project_id = ?)
"""
"""Whether nothing is decided about the sample of a suggestion; takes the project's id."""

UNREVOKED = f"""
    NOT EXISTS (
        SELECT 1 FROM labels l JOIN labels u ON u.undoes = l.id
        WHERE l.sample_id = g.sample_id AND l.project_id = ? AND l.origin = g.source AND u.origin <> '{OUTGROWN}'
    )
"""
"""Whether no label of the same source was taken back from the sample of a suggestion; takes the project's id."""

_CHOICE = f"""
    SELECT g.sample_id, g.label, g.content, CASE WHEN g.content IS NOT NULL THEN g.classes END AS classes,
           g.confidence, g.source
    FROM suggestions g WHERE g.project_id = ? {{meant}}
    AND {UNDECIDED} AND {UNREVOKED}
    AND g.confidence >= {{threshold}}
    ORDER BY g.sample_id
"""
