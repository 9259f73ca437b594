"""Suggestions as rows of a table: read, and checked before they are stored."""

from collections.abc import Sequence

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.labeling import NewSuggestion, Project, Value
from modelship_lab.server.labeling.labels import listed
from modelship_lab.server.storage.arrow_streams import read_stream

SCHEMA = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("label", pa.string()),
        ("content", pa.string()),
        ("confidence", pa.float64()),
        ("uncertainty", pa.float64()),
        ("margin", pa.float64()),
        ("entropy", pa.float64()),
    ]
)
"""What is suggested: a `label`, or in `content` another `Value` as JSON, e.g. `{"labels": ["a", "b"]}`."""

_OPTIONAL = frozenset({"label", "content", "uncertainty", "margin", "entropy"})
_FIGURES = ("confidence", "uncertainty", "margin", "entropy")


def of_records(suggestions: Sequence[NewSuggestion]) -> pa.Table:
    """Rows of `SCHEMA` from records."""
    return pa.Table.from_pylist(
        [{**one.model_dump(include=set(SCHEMA.names)), "content": one.content} for one in suggestions], SCHEMA
    )


def read(body: bytes) -> pa.Table:
    """Rows of `SCHEMA` from an Arrow IPC stream.

    Raises:
        InvalidData: it is not such a stream.
    """
    try:
        table = read_stream(body, SCHEMA.names, optional=_OPTIONAL)
        missing = [field for field in SCHEMA if field.name not in table.column_names]
        for field in missing:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        return table.select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError, ValueError, OSError):
        raise InvalidData(
            "An Arrow IPC stream with the columns sample_id int64, confidence float64, and label string (or "
            'content string, the JSON of another value such as {"labels": ["a", "b"]}) is expected; and, if '
            "you like, uncertainty, margin and entropy float64."
        ) from None


def checked(project: Project, table: pa.Table) -> pa.Table:
    """Checked rows, the last of each sample, with an uncertainty, their `classes`, and the greatest `end` of spans.

    Raises:
        InvalidInput: a value is not one of the project's kind, or names other classes.
        Conflict: the project is not one of labeling.
    """
    is_label = project.kind == "label"
    value, other = ("label", "content") if is_label else ("content", "label")
    if any(table[name].null_count for name in ("sample_id", value, "confidence")):
        what = "a label" if is_label else project.kind
        raise InvalidInput(f"A suggestion has a sample_id, {what} and a confidence: none may be null.")
    if table[other].null_count < table.num_rows:
        raise InvalidInput(f"What is suggested in this project is {project.kind}, nothing else.")
    uncertainty = pc.coalesce(table["uncertainty"], pc.subtract(1.0, table["confidence"]))
    table = table.set_column(SCHEMA.get_field_index("uncertainty"), "uncertainty", uncertainty)
    for name in _FIGURES:
        # Not a number is in no range.
        inside = pc.and_(pc.greater_equal(table[name], 0.0), pc.less_equal(table[name], 1.0))
        if table.num_rows and pc.all(inside).as_py() is False:
            raise InvalidInput(f"{name} lies between 0 and 1.")
    positions = pa.array(range(table.num_rows), pa.int64())
    last = table.append_column("position", positions).group_by("sample_id").aggregate([("position", "max")])
    return _with_classes(project, table.take(last["position_max"]))


def _with_classes(project: Project, table: pa.Table) -> pa.Table:
    """The table with equal values written alike, and what is looked for in them beside it."""
    name = "label" if project.kind == "label" else "content"
    # Many rows say the same: each thing that is said is looked at once.
    encoded = table[name].combine_chunks().dictionary_encode()
    found = [_value(project, one) for one in encoded.dictionary.to_pylist()]
    for one in found:
        if one.number is not None and (problem := project.settings.number_problem(one.number)):
            raise InvalidInput(f"{problem}.")
        foreign = sorted(set(one.classes) - set(project.classes))
        if foreign:
            raise InvalidInput(
                f"'{foreign[0][:200]}' is not a class of this project. "
                f"The classes are: {listed(project.classes)}."
            )
    rows = encoded.indices
    table = table.set_column(
        SCHEMA.get_field_index("content"),
        "content",
        pa.array([one.content for one in found], pa.string()).take(rows),
    )
    classes = pa.array([list(one.classes) for one in found], pa.list_(pa.string()))
    ends = pa.array([max((span.end for span in one.spans or ()), default=None) for one in found], pa.int64())
    return table.append_column("classes", classes.take(rows)).append_column("end", ends.take(rows))


def _value(project: Project, text: str) -> Value:
    if project.kind == "label":
        return Value(label=text)
    try:
        value = Value.model_validate(orjson.loads(text))
    except (orjson.JSONDecodeError, ValidationError):
        value = None
    if value is None or value.kind != project.kind:
        raise InvalidInput(
            f"What is suggested in this project is {project.kind}, as JSON like {_EXAMPLES[project.kind]}; "
            f"not {text[:200]}"
        )
    return value


_EXAMPLES = {
    "labels": '{"labels": ["a", "b"]}',
    "spans": '{"spans": [{"start": 0, "end": 4, "label": "a"}]}',
    "boxes": '{"boxes": [{"x": 0.1, "y": 0.2, "width": 0.5, "height": 0.3, "label": "a"}]}',
    "number": '{"number": 12.5}',
}
