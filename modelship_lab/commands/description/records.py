"""Records that have no words of their own: their fields, and as tables what they list."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from modelship_lab.commands.description.words import MOST_ROWS, Description, Grid, describe, moment, number
from modelship_lab.records.base import Record


@describe.register
def _(value: Record) -> Description:
    fields = {_words(name): getattr(value, name) for name in type(value).model_fields}
    tables = {name: table for name, field in fields.items() if (table := _table(field))}
    facts = ((name, _text(field)) for name, field in fields.items() if name not in tables)
    left = sum(max(len(fields[name]) - MOST_ROWS, 0) for name in tables)
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(value).__name__)
    return Description(
        kind.capitalize(),
        tuple((name, text) for name, text in facts if text),
        tuple(Grid(name, columns, rows) for name, (columns, rows) in tables.items()),
        f"and {left:,} more" if left else "",
    )


def _table(field: Any) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]] | None:
    """The columns and first rows of a field that holds many things."""
    if isinstance(field, Mapping) and field:
        return ("", ""), tuple((str(name), _text(one)) for name, one in list(field.items())[:MOST_ROWS])
    if isinstance(field, Sequence) and field and isinstance(field[0], Record):
        names = tuple(type(field[0]).model_fields)
        rows = tuple(tuple(_text(getattr(one, name)) for name in names) for one in field[:MOST_ROWS])
        said = [column for column in range(len(names)) if any(row[column] for row in rows)]
        return tuple(_words(names[at]) for at in said), tuple(tuple(row[at] for at in said) for row in rows)
    return None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Record):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        said = ((_words(str(name)), _text(one)) for name, one in value.items())
        return ", ".join(f"{name} {text}" for name, text in said if text)
    return ", ".join(map(_text, value)) if isinstance(value, Sequence) else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
