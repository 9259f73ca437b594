"""From which confidence on suggestions become labels by themselves, as SQL; see `LabelingSettings.threshold`."""

from typing import Any

import pyarrow as pa

from modelship_lab.records.errors import Conflict
from modelship_lab.records.labeling import Project
from modelship_lab.server.storage.database import Cursor

NEVER = 2.0
"""What no confidence reaches: the threshold of a class that has none."""


def has_threshold(project: Project) -> bool:
    """Whether any suggestion can become a label by itself."""
    return project.settings.threshold is not None or bool(project.settings.class_thresholds)


def require_threshold(project: Project) -> None:
    """For what asks which suggestions reach the thresholds.

    Raises:
        Conflict: the project has none.
    """
    if not has_threshold(project):
        raise Conflict(f"'{project.name}' has no threshold: set one first.")


def needed(project: Project, table: str) -> tuple[str, list[Any]]:
    """The confidence that a row of `suggestions` or `sample_states` needs, and the parameters of that.

    A set of classes needs that of the highest of them; where no class applies, the project's own counts.

    Args:
        table: the alias of the table, with the columns `label` and `classes`.
    """
    settings = project.settings
    whole = NEVER if settings.threshold is None else settings.threshold
    own = settings.class_thresholds
    if not own:
        return f"{whole!r}", []
    cases = f"{' '.join(f'WHEN ? THEN {value!r}' for value in own.values())} ELSE {whole!r} END"
    if project.kind == "label":
        return f"CASE {table}.label {cases}", list(own)
    several = f"list_max(list_transform({table}.classes, lambda c: CASE c {cases}))"
    return f"coalesce({several}, {whole!r})", list(own)


def outgrown(cursor: Cursor, project: Project) -> pa.Table:
    """The automatic labels that would not be accepted now: `id`, `sample_id`.

    Those that came without a confidence never depended on one.
    """
    threshold, parameters = needed(project, "st")
    return cursor.table(
        "SELECT l.id, l.sample_id FROM sample_states st JOIN labels l ON l.id = st.label_id "
        f"WHERE st.project_id = ? AND st.status = 'auto' AND l.confidence < {threshold} ORDER BY l.id",
        project.id,
        *parameters,
    )
