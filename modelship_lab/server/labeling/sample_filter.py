"""Which samples a filter means, and in which order, as SQL."""

import re
from collections.abc import Iterable
from typing import Any

from modelship_lab.records.base import Task
from modelship_lab.records.labeling import Project, SampleFilter, SampleOrder
from modelship_lab.server.labeling.thresholds import needed, require_threshold

CONTENT_COLUMN: dict[Task, str] = {
    "text_classification": "text",
    "image_classification": "image",
    "tabular_classification": "fields",
    "token_classification": "text",
    "object_detection": "image",
    "text_regression": "text",
    "image_regression": "image",
    "tabular_regression": "fields",
}
"""Where the content of a sample stands in the table `samples`."""

SOURCES = {"s": "samples", "st": "sample_states", "g": "suggestions"}
"""The tables of samples by their aliases."""

_JOINS = {
    "st": "LEFT JOIN sample_states st ON st.sample_id = s.id AND st.project_id = s.project_id",
    "g": "LEFT JOIN suggestions g ON g.sample_id = s.id AND g.project_id = s.project_id",
}


def number_of(table: str) -> str:
    """The number that a row of a table with the column `content` says, as SQL."""
    return f"({table}.content->>'number')::DOUBLE"


def matching(project: Project, samples: SampleFilter) -> tuple[str, list[Any]]:
    """What stands behind SELECT … to get the samples that are meant, and its parameters.

    The table `samples` is `s`, `sample_states` is `st` and `suggestions` is `g`; the latter two may be missing
    when the filter says nothing about them.
    """
    conditions, parameters = _conditions(project, samples)
    return f"FROM samples s {_joined(conditions)} WHERE {' AND '.join(conditions)}", parameters


def tables_of(project: Project, samples: SampleFilter) -> frozenset[str]:
    """What decides about which samples a filter means: aliases of tables, `notes`, `selections`."""
    conditions, _ = _conditions(project, samples)
    extra = {"notes"} if samples.noted is not None else set()
    return _aliases(conditions) | extra | ({"selections"} if samples.selection is not None else set())


def identities(project: Project, samples: SampleFilter) -> tuple[str, list[Any]]:
    """A query for the ids of the samples that are meant, in no order, and its parameters."""
    conditions, parameters = _conditions(project, samples)
    named = _aliases(conditions[1:])
    if len(named) == 1 and named < {"st", "g"} and not any("IS NULL" in one for one in conditions):
        # Nothing of the samples themselves is asked for: joining a million of them would take most of the time.
        (alias,) = named
        where = " AND ".join([f"{alias}.project_id = ?", *conditions[1:]])
        return f"SELECT {alias}.sample_id AS id FROM {SOURCES[alias]} {alias} WHERE {where}", parameters
    source, parameters = matching(project, samples)
    return f"SELECT s.id {source}", parameters


def ordered(project: Project, samples: SampleFilter, order: SampleOrder) -> tuple[str, list[Any]]:
    """A query for the ids of the samples that are meant, in an order; those without its value come last."""
    conditions, parameters = _conditions(project, samples)
    key = _key(project, order)
    return (
        f"SELECT s.id FROM samples s {_joined([*conditions, key])} WHERE {' AND '.join(conditions)} ORDER BY {key}, s.id",
        parameters,
    )


def ordered_by_value(
    project: Project, samples: SampleFilter, order: SampleOrder
) -> tuple[str, list[Any]] | None:
    """`ordered`, but only of the samples that have a value in the table which the order looks at.

    None when the order looks at the samples themselves. That table leads: the best few of a million are found without
    joining all others.
    """
    key = _key(project, order)
    alias = next(iter(_aliases([key])))
    if alias == "s" or "NULLS FIRST" in key:
        return None
    conditions, parameters = _conditions(project, samples)
    value = key.partition(" ")[0]
    named = _aliases(conditions[1:]) - {alias}
    joins = " ".join(
        f"{'LEFT ' if one != 's' else ''}JOIN {SOURCES[one]} {one} ON {one}.{'id' if one == 's' else 'sample_id'} = "
        f"{alias}.sample_id AND {one}.project_id = {alias}.project_id"
        for one in sorted(named)
    )
    where = " AND ".join([f"{alias}.project_id = ?", *conditions[1:], f"{value} IS NOT NULL"])
    return (
        f"SELECT {alias}.sample_id AS id FROM {SOURCES[alias]} {alias} {joins} WHERE {where} "
        f"ORDER BY {key}, {alias}.sample_id",
        parameters,
    )


def numbers(project: Project, order: SampleOrder) -> tuple[str, list[Any]] | None:
    """A query for the ids of samples and the number by which an order puts them; None if these are no numbers."""
    is_number = order.by == "label" and project.kind == "number"
    if not is_number and order.by not in ("confidence", "uncertainty", "updated_at", "length"):
        return None
    value = _key(project, order).partition(" ")[0]
    (alias,) = _aliases([value])
    return (
        f"SELECT {alias}.{'id' if alias == 's' else 'sample_id'} AS id, "
        f"{f'epoch_us({value})' if order.by == 'updated_at' else value}::DOUBLE AS value "
        f"FROM {SOURCES[alias]} {alias} WHERE {alias}.project_id = ? AND {value} IS NOT NULL",
        [project.id],
    )


def tables_of_order(project: Project, order: SampleOrder) -> frozenset[str]:
    """What decides about an order: aliases of tables."""
    return _aliases([_key(project, order)])


def _key(project: Project, order: SampleOrder) -> str:
    """What ORDER BY is followed by."""
    direction = "DESC NULLS LAST" if order.descending else "ASC NULLS LAST"
    content = CONTENT_COLUMN[project.require_task()]
    length = "s.width*s.height" if content == "image" else f"strlen(s.{content})"
    match order.by:
        case "id":
            return f"s.id {direction}"
        case "status":
            # What nobody has decided about has no row; its name is the last one of the alphabet.
            return f"st.status {'DESC NULLS FIRST' if order.descending else direction}"
        case "label":
            several = "array_to_string(st.classes,',')"
            value = {"label": "st.label", "number": number_of("st")}
            return f"{value.get(project.kind, several)} {direction}"
        case "confidence" | "uncertainty":
            return f"g.{order.by} {direction}"
        case "updated_at":
            return f"st.updated_at {direction}"
        case "length":
            return f"{length} {direction}"
        case "name":
            return f"s.name {direction}"
        case "group":
            return f"s.group_name {direction}"


def _aliases(parts: Iterable[str]) -> frozenset[str]:
    # Not those of subqueries, which have names of their own.
    return frozenset(alias for part in parts for alias in re.findall(r"\b(s|st|g)\.", part))


def _joined(parts: Iterable[str]) -> str:
    return " ".join(_JOINS[alias] for alias in ("st", "g") if alias in _aliases(parts))


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
        # What is typed is looked for as it stands, its `%` and `_` too. With ESCAPE that takes twice as long.
        escaped = samples.search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        escape = "" if escaped == samples.search else " ESCAPE '\\'"
        content = CONTENT_COLUMN[project.require_task()]
        sought = ("s.name",) if content == "image" else (f"s.{content}", "s.name")
        likes = " OR ".join(f"{column} ILIKE ?{escape}" for column in sought)
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
    if samples.below_threshold is not None:
        require_threshold(project)
        threshold, own = needed(project, "g")
        add(f"g.confidence {'<' if samples.below_threshold else '>='} {threshold}", *own)
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
    if samples.excluded is not None:
        add("s.id NOT IN (SELECT unnest(?::BIGINT[]))", list(samples.excluded))
    return conditions, parameters


def _has_class(table: str, project: Project) -> str:
    if project.kind == "label":
        return f"{table}.label = ?"
    return f"list_contains({table}.classes, ?)"
