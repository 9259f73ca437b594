"""The tables that SQL is asked over."""

from modelship_lab.records.base import Record


class TableColumn(Record):
    name: str
    type: str
    """The type in DuckDB's words. A TIMESTAMP is in UTC."""
    description: str


class LabTable(Record):
    """A table that the lab hands out."""

    name: str
    description: str
    columns: tuple[TableColumn, ...]
