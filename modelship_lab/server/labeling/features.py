"""The fields of tabular samples as typed columns."""

from collections.abc import Iterable
from typing import Any

import orjson
import pyarrow as pa


def feature_columns(fields: Iterable[str]) -> dict[str, pa.Array]:
    """Columns from JSON objects, one for each name that occurs, in the order of first occurrence.

    A column is int64 or float64 if all its values are numbers, else string; null where a value is
    missing. A missing number makes no float of an int column.
    """
    columns: dict[str, list[Any]] = {}
    count = 0
    for text in fields:
        for name, value in orjson.loads(text).items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = []
            if len(column) < count:
                column.extend([None] * (count - len(column)))
            column.append(value)
        count += 1
    return {name: _typed(values + [None] * (count - len(values))) for name, values in columns.items()}


def _typed(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int}:
        return pa.array(values, pa.int64())
    if kinds and kinds <= {int, float}:
        return pa.array(values, pa.float64())
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(orjson.dumps(value), "utf-8")
