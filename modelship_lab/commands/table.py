"""Lists of records as frames: the same columns and types whether there is a row or none."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import polars as pl

Item = TypeVar("Item")
Kind = Literal["text", "integer", "number", "time"]


def table(items: Sequence[Item], **columns: tuple[Kind, Callable[[Item], Any]]) -> "pl.DataFrame":
    """A row for each item.

    Args:
        items: what is listed.
        columns: for each column what is in it, and how it is read from an item.
    """
    import polars as pl

    types = {
        "text": pl.String(),
        "integer": pl.Int64(),
        "number": pl.Float64(),
        "time": pl.Datetime("us", "UTC"),
    }
    return pl.DataFrame(
        {name: [read(item) for item in items] for name, (_, read) in columns.items()},
        schema={name: types[kind] for name, (kind, _) in columns.items()},
    )
