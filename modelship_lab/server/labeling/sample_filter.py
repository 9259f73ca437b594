"""Which samples a filter means, as SQL."""

from typing import Any

from modelship_lab.records.labeling import Project, SampleFilter

_STATES = "LEFT JOIN sample_states st ON st.sample_id = s.id AND st.project_id = s.project_id"
_SUGGESTIONS = "LEFT JOIN suggestions g ON g.sample_id = s.id AND g.project_id = s.project_id"


def matching(project: Project, samples: SampleFilter) -> tuple[str, list[Any]]:
    """What stands behind SELECT … to get the samples that are meant, and its parameters.

    The table `samples` is `s`, `sample_states` is `st` and `suggestions` is `g`; the latter two may be missing
    when the filter says nothing about them.
    """
    conditions, parameters = _conditions(project, samples)
    where = " AND ".join(conditions)
    joins = [join for name, join in (("st.", _STATES), ("g.", _SUGGESTIONS)) if name in where]
    return f"FROM samples s {' '.join(joins)} WHERE {where}", parameters


def _conditions(project: Project, samples: SampleFilter) -> tuple[list[str], list[Any]]:
    conditions = ["s.project_id = ?"]
    parameters: list[Any] = [project.id]

    def add(condition: str, *values: Any) -> None:
        conditions.append(condition)
        parameters.extend(values)

    if samples.status:
        wanted = set(samples.status)
        decided = sorted(wanted - {"unlabeled"})
        if not decided:
            add("st.sample_id IS NULL")
        elif decided == sorted(wanted):
            add("st.status IN (SELECT unnest(?::VARCHAR[]))", decided)
        else:
            add("(st.sample_id IS NULL OR st.status IN (SELECT unnest(?::VARCHAR[])))", decided)
    if samples.label is not None:
        add(_has_class("st", project), samples.label)
    if samples.suggested is not None:
        add(_has_class("g", project), samples.suggested)
    if samples.search:
        # What is typed is looked for as it stands, its `%` and `_` too.
        escaped = samples.search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        sought = ("s.text", "s.fields::VARCHAR", "s.name")
        likes = " OR ".join(f"{column} ILIKE ? ESCAPE '\\'" for column in sought)
        add(f"({likes})", *[f"%{escaped}%"] * len(sought))
    for column, value in (
        ("st.source", samples.source),
        ("st.origin", samples.origin),
        ("st.author", samples.author),
        ("s.group_name", samples.group),
        ("s.split", samples.split),
        ("s.import_id", samples.import_id),
    ):
        if value is not None:
            add(f"{column} = ?", value)
    if samples.min_confidence is not None:
        add("g.confidence >= ?", samples.min_confidence)
    if samples.max_confidence is not None:
        add("g.confidence <= ?", samples.max_confidence)
    if samples.noted is not None:
        there = "IN" if samples.noted else "NOT IN"
        add(f"s.id {there} (SELECT sample_id FROM sample_notes WHERE project_id = ?)", project.id)
    if samples.selection is not None:
        add(
            "s.id IN (SELECT c.sample_id FROM selection_samples c JOIN selections n ON n.id = c.selection_id "
            "WHERE n.project_id = ? AND n.name = ?)",
            project.id,
            samples.selection,
        )
    if samples.ids is not None:
        add("s.id IN (SELECT unnest(?::BIGINT[]))", list(samples.ids))
    return conditions, parameters


def _has_class(table: str, project: Project) -> str:
    if project.kind == "label":
        return f"{table}.label = ?"
    return f"list_contains({table}.classes, ?)"
