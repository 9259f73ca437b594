"""The parameters and final figures of runs, one by one: what the table of runs is filtered and sorted by."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import orjson
import pyarrow as pa

from modelship_lab.records.run_table import RunValue
from modelship_lab.server.storage.database import Transaction, placeholders

_SCHEMA = pa.schema(
    [
        ("run_id", pa.int64()),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("type", pa.string()),
        ("number", pa.float64()),
        ("text", pa.string()),
    ]
)


def store_values(
    transaction: Transaction,
    run_id: int,
    kind: Literal["param", "summary"],
    values: Mapping[str, Any],
    before: Mapping[str, Any],
) -> None:
    """Store what a run has been given; what is None is missing.

    Args:
        before: what it had, of which the same names are replaced.
    """
    replaced = [name for name in values if name in before]
    if replaced:
        transaction.execute(
            f"DELETE FROM run_values WHERE run_id = ? AND kind = ? AND name IN ({placeholders(replaced)})",
            run_id,
            kind,
            *replaced,
        )
    rows = [
        {"run_id": run_id, "kind": kind, "name": name, **_stored(value)}
        for name, value in values.items()
        if value is not None and not (isinstance(value, float) and math.isnan(value))
    ]
    if rows:
        transaction.insert("run_values", pa.Table.from_pylist(rows, _SCHEMA))


def value_of(type: str, text: str) -> RunValue:
    """A value as it was given."""
    if type == "text":
        return text
    value: RunValue = orjson.loads(text)
    return value


def _stored(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"type": "text", "number": None, "text": value}
    text = orjson.dumps(value).decode()
    if isinstance(value, bool):
        return {"type": "bool", "number": float(value), "text": text}
    if isinstance(value, int | float):
        return {"type": "number", "number": float(value), "text": text}
    return {"type": "text", "number": None, "text": text}
