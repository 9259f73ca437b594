"""Tables for SQL that runs elsewhere: only the columns and rows that are asked for and may be seen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.records.tables import LabTable
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.arrow_streams import write_stream
from modelship_lab.server.storage.database import Cursor, Database, placeholders
from modelship_lab.server.tables.catalog import TABLES, Source


class Tables:
    """Everything that the lab knows, as tables.

    Args:
        folder: for the files that are on their way to somebody.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def page(self, caller: Caller) -> Page[LabTable]:
        """The tables with their columns; they are the same for everybody."""
        caller.require("read")
        items = tuple(one.record for one in TABLES.values())
        return Page(items=items, total=len(items), limit=len(items), offset=0)

    async def write(
        self,
        name: str,
        columns: Sequence[str],
        wanted: Mapping[str, Sequence[int]],
        limit: int | None,
        caller: Caller,
    ) -> Path:
        """Write the rows of a table that the caller may see to a file, as an Arrow IPC stream.

        Args:
            columns: those that are wanted; none: all.
            wanted: for each of these columns, only the rows with one of these numbers.
            limit: at most so many rows, whichever they are.

        Returns:
            A new file, which is the caller's to remove.

        Raises:
            NotFound: there is no such table.
            InvalidInput: the table lacks one of the columns.
        """
        caller.require("read")
        source = TABLES.get(name)
        if source is None:
            raise NotFound(f"There is no table '{name[:200]}'. There are: {', '.join(TABLES)}.")
        sql, parameters = _query(source, columns, wanted, limit, caller)

        def work(cursor: Cursor) -> Path:
            rows = cursor.batches(sql, *parameters)
            return write_stream(self._folder, rows.schema, rows, "lz4")

        return await self._database.read(work, long=True)


def _query(
    source: Source,
    columns: Sequence[str],
    wanted: Mapping[str, Sequence[int]],
    limit: int | None,
    caller: Caller,
) -> tuple[str, list[Any]]:
    names = tuple(dict.fromkeys(columns)) or tuple(one.name for one in source.columns)
    selected = []
    for name in names:
        column = source.column(name)
        if column is None:
            raise InvalidInput(
                f"The table '{source.name}' has no column '{name}'.", [{"field": "columns", "reason": name}]
            )
        selected.append(f'CAST({column.expression} AS {column.type}) AS "{name}"')
    conditions = [source.where] if source.where else []
    parameters: list[Any] = []
    if not caller.is_admin:
        visible, parameters = policy.visible(caller, source.owner, source.public)
        conditions.append(source.within.format(visible=visible))
    for name, numbers in wanted.items():
        column = source.column(name)
        if column is None:
            raise InvalidInput(
                f"The table '{source.name}' has no column '{name}'.", [{"field": name, "reason": "no column"}]
            )
        conditions.append(f"{column.expression} IN ({placeholders(numbers)})")
        parameters.extend(numbers)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    cut = "" if limit is None else f"LIMIT {limit:d}"
    return f"SELECT {', '.join(selected)} FROM {source.source} {where} {cut}", parameters
