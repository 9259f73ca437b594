"""The table of runs: filtered, sorted, and with the columns that are asked for."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import pyarrow as pa

from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.metrics import context_of, context_text
from modelship_lab.records.run_table import RunColumn, RunRow, RunRows, RunValue
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.database import Cursor, Database
from modelship_lab.server.tracking.run_columns import KINDS, OWN, SERIES, STATS, Column, column_of, written
from modelship_lab.server.tracking.run_condition import Columns, sql_of
from modelship_lab.server.tracking.run_filter import Filter, nearest, read
from modelship_lab.server.tracking.run_values import value_of
from modelship_lab.server.tracking.stored_runs import FROM, IS_PUBLIC, project_of

MAX_COLUMNS = 500
"""Columns of one query."""

MAX_SORTED = 10
"""Columns that one query is sorted by."""

SIMILAR = 20
"""Names among which the one is that was meant instead of one that is not there."""

LISTED = 5000
"""Columns that are told of; those that most runs have come first."""

_OWN_FIELDS = (
    "id",
    "name",
    "status",
    "project",
    "recipe",
    "group",
    "parent_id",
    "tags",
    "started_at",
    "ended_at",
    "duration_s",
)
_FIELDS = ", ".join(f'{OWN[name][0]} AS "{name}"' for name in _OWN_FIELDS)


class RunTable:
    """All runs as one table. Only the figures that are shown are read, and only for the rows that are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(
        self,
        filter: str,
        project: str | int | None,
        sort: Sequence[str],
        columns: Sequence[str],
        limit: int,
        offset: int,
        caller: Caller,
    ) -> RunRows:
        """Runs that the caller may see and the filter lets through, the newest first or as `sort` says.

        Args:
            filter: see `run_filter`; empty: all.
            sort: columns, the most important first, with a `-` before those that go down; runs without
                the value come last either way.
            columns: see `run_columns.column_of`.

        Raises:
            NotFound: no such project for them.
            InvalidInput: the filter is wrong, or there is no such column.
        """
        caller.require("read")
        if len(columns) > MAX_COLUMNS:
            raise InvalidInput(
                f"At most {MAX_COLUMNS} columns are told at once.",
                [{"field": "columns", "reason": "too many"}],
            )
        if len(sort) > MAX_SORTED:
            raise InvalidInput(
                f"Runs are sorted by at most {MAX_SORTED} columns.", [{"field": "sort", "reason": "too many"}]
            )
        wanted = {name: column_of(name) for name in columns if name not in OWN}
        query = _query_of(filter, sort)

        def work(cursor: Cursor) -> RunRows:
            found, total = _found(cursor, query, project, limit, offset, caller)
            values = _values(cursor, found, {*wanted.values(), *(use.column for use in query.uses)})
            _require_known(cursor, [use for use in query.uses if not values[use.column]], caller)
            children = _children(cursor, found)
            rows = cursor.rows(f"SELECT {_FIELDS} {FROM} WHERE r.id IN (SELECT unnest(?::BIGINT[]))", found)
            by_id = {row["id"]: row for row in rows}
            items = tuple(
                RunRow(
                    **by_id[run_id],
                    children=children.get(run_id, 0),
                    values={name: values[column].get(run_id) for name, column in wanted.items()},
                )
                for run_id in found
                if run_id in by_id
            )
            return RunRows(items=items, total=total, limit=limit, offset=offset)

        return await self._database.read(work)

    async def columns(self, project: str | int | None, caller: Caller) -> Page[RunColumn]:
        """The columns that the runs which the caller may see have, those of most runs first.

        Raises:
            NotFound: no such project for them.
        """
        caller.require("read")

        def work(cursor: Cursor) -> Page[RunColumn]:
            where, parameters = _scope(cursor, project, caller)
            found = [*_value_columns(cursor, where, parameters), *_metric_columns(cursor, where, parameters)]
            found.sort(key=lambda column: (-column.runs, column.name))
            items = tuple(found[:LISTED])
            return Page(items=items, total=len(found), limit=LISTED, offset=0)

        return await self._database.read(work)


def arrow_table(rows: RunRows, columns: Sequence[str]) -> pa.Table:
    """Rows as an Arrow table: a run's own columns, and those that were asked for; mixed values are texts."""
    records = [row.model_dump(exclude={"values"}) for row in rows.items]
    table = pa.Table.from_pylist(records, _ARROW)
    for name in columns:
        if name in OWN:
            continue
        values = [row.values.get(name) for row in rows.items]
        try:
            array = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            array = pa.array([None if value is None else str(value) for value in values], pa.string())
        table = table.append_column(name, array)
    return table


_ARROW = pa.schema(
    [
        ("id", pa.int64()),
        ("name", pa.string()),
        ("status", pa.string()),
        ("project", pa.string()),
        ("recipe", pa.string()),
        ("group", pa.string()),
        ("parent_id", pa.int64()),
        ("children", pa.int64()),
        ("tags", pa.list_(pa.string())),
        ("started_at", pa.timestamp("us", "UTC")),
        ("ended_at", pa.timestamp("us", "UTC")),
        ("duration_s", pa.float64()),
    ]
)


def _scope(cursor: Cursor, project: str | int | None, caller: Caller) -> tuple[str, list[Any]]:
    """Which runs are looked at, as a condition over `stored_runs.FROM`."""
    where, parameters = policy.visible(caller, "r.owner_id", IS_PUBLIC)
    if project is not None:
        where = f"{where} AND r.project_id = ?"
        parameters = [*parameters, project_of(cursor, project, caller).id]
    return where, parameters


@dataclass(frozen=True)
class _Use:
    """A column that a query names, and where."""

    column: Column
    field: Literal["filter", "sort"]
    place: int | None


@dataclass(frozen=True)
class _Query:
    """A filter and an order in SQL, over runs `r`, projects `p` and the joins of the columns."""

    columns: Columns
    condition: tuple[str, list[Any]]
    """With its parameters."""
    order: str
    uses: list[_Use]


def _query_of(filter: str, sort: Sequence[str]) -> _Query:
    columns = Columns()
    wanted = read(filter) if filter.strip() else Filter(True)
    condition = sql_of(wanted.condition, columns)
    order = ", ".join([*(_order(name, columns) for name in sort), "r.id DESC"])
    uses = [_Use(column, "filter", place) for column, place in wanted.used]
    plain = (name.removeprefix("-") for name in sort)
    uses += [_Use(column_of(name, "sort"), "sort", None) for name in plain if name not in OWN]
    return _Query(columns, condition, order, uses)


def _found(
    cursor: Cursor, query: _Query, project: str | int | None, limit: int, offset: int, caller: Caller
) -> tuple[list[int], int]:
    """The ids of one page of runs, and how many there are in all."""
    where, scope = _scope(cursor, project, caller)
    condition, values = query.condition
    source = f"{FROM} {query.columns.joins} WHERE {where} AND {condition}"
    parameters = [*query.columns.parameters, *scope, *values]
    rows = cursor.rows(
        f"SELECT r.id, count(*) OVER () AS total {source} ORDER BY {query.order} LIMIT {limit:d} OFFSET {offset:d}",
        *parameters,
    )
    if rows or not offset:
        return [row["id"] for row in rows], rows[0]["total"] if rows else 0
    return [], cursor.value(f"SELECT count(*) {source}", *parameters)


def _children(cursor: Cursor, run_ids: Sequence[int]) -> dict[int, int]:
    """How many runs each is the parent of, of those that are."""
    rows = cursor.rows(
        "SELECT parent_id, count(*) AS children FROM runs "
        "WHERE parent_id IN (SELECT unnest(?::BIGINT[])) GROUP BY parent_id",
        run_ids,
    )
    return {row["parent_id"]: row["children"] for row in rows}


def _order(name: str, columns: Columns) -> str:
    """One key of ORDER BY; what is missing comes last."""
    plain = name.removeprefix("-")
    direction = "DESC NULLS LAST" if name.startswith("-") else "ASC NULLS LAST"
    if plain in OWN:
        expression, kind = OWN[plain]
        if kind == "tags":
            raise InvalidInput(
                "Runs are not sorted by their tags.", [{"field": "sort", "reason": "tags have no order"}]
            )
        return f"{expression} {direction}"
    column = column_of(plain, "sort")
    alias = columns.alias(column)
    if column.kind == "metric":
        return f"CASE WHEN NOT isnan({alias}.number) THEN {alias}.number END {direction}"
    number = f"CASE WHEN {alias}.type <> 'text' AND NOT isnan({alias}.number) THEN {alias}.number END"
    return f"{number} {direction}, {alias}.text {direction}"


def _require_known(cursor: Cursor, uses: Sequence[_Use], caller: Caller) -> None:
    """Refuse columns that none of the caller's runs has, as long as there are any of that kind.

    Args:
        uses: those that are in doubt: each costs a look at all values of its kind.
    """
    visible, parameters = policy.visible(caller, "r.owner_id", IS_PUBLIC)
    for use in uses:
        column = use.column
        source = f"({SERIES})" if column.kind == "metric" else "(SELECT * FROM run_values WHERE kind = ?)"
        first = [] if column.kind == "metric" else [column.kind]
        # No join: with one, DuckDB looks at all values before it tells of the first.
        known = f"FROM {source} v WHERE EXISTS (SELECT 1 {FROM} WHERE r.id = v.run_id AND {visible})"
        if cursor.value(f"SELECT 1 {known} AND v.name = ? LIMIT 1", *first, *parameters, column.name):
            continue
        # There may be a hundred thousand names, and only the database compares so many in no time.
        names = cursor.column(
            f"SELECT v.name {known} GROUP BY v.name "
            f"ORDER BY jaro_winkler_similarity(v.name, ?) DESC, v.name LIMIT {SIMILAR:d}",
            *first,
            *parameters,
            column.name,
        )
        if not names:
            continue
        prefix = next(word for word, kind in KINDS.items() if kind == column.kind)
        reason = f"No run has {prefix} '{column.name[:100]}'{nearest(column.name, names)}"
        where = "" if use.place is None else f" (at character {use.place + 1})"
        raise InvalidInput(
            f"The {use.field} is not valid{where}: {reason}.",
            [{"field": use.field, "reason": reason, "offset": use.place}],
        )


def _values(
    cursor: Cursor, run_ids: Sequence[int], columns: Iterable[Column]
) -> dict[Column, dict[int, RunValue]]:
    """What runs have in columns, by their ids; a metric that is not finite is None."""
    found: dict[Column, dict[int, RunValue]] = {column: {} for column in columns}
    given: dict[tuple[str, str], dict[int, RunValue]] = {}
    measured: dict[tuple[str, str], list[tuple[int, dict[int, RunValue]]]] = defaultdict(list)
    for column, values in found.items():
        if column.kind == "metric":
            key = (column.name, context_text(dict(column.context)))
            measured[key].append((STATS.index(column.stat), values))
        else:
            given[column.kind, column.name] = values
    if given:
        rows = cursor.tuples(
            "SELECT run_id, kind, name, type, text FROM run_values "
            "WHERE run_id IN (SELECT unnest(?::BIGINT[])) AND name IN (SELECT unnest(?::VARCHAR[]))",
            run_ids,
            [name for _, name in given],
        )
        for run_id, kind, name, type, text in rows:
            if (kind, name) in given:
                given[kind, name][run_id] = value_of(type, text)
    if measured:
        rows = cursor.tuples(
            f"SELECT run_id, name, context, {', '.join(STATS)} FROM ({SERIES}) "
            "WHERE run_id IN (SELECT unnest(?::BIGINT[])) AND name IN (SELECT unnest(?::VARCHAR[]))",
            run_ids,
            [name for name, _ in measured],
        )
        for run_id, name, context, *stats in rows:
            for position, values in measured.get((name, context), ()):
                value = stats[position]
                values[run_id] = value if value is not None and isfinite(value) else None
    return found


def _value_columns(cursor: Cursor, where: str, parameters: Sequence[Any]) -> list[RunColumn]:
    rows = cursor.rows(
        "SELECT v.kind, v.name, CASE WHEN count(DISTINCT v.type) = 1 THEN min(v.type) ELSE 'text' END AS type, "
        "count(*) AS runs, min(v.number) FILTER (v.type = 'number') AS min, "
        "max(v.number) FILTER (v.type = 'number') AS max "
        "FROM run_values v JOIN runs r ON r.id = v.run_id LEFT JOIN projects p ON p.id = r.project_id "
        f"WHERE {where} GROUP BY v.kind, v.name",
        *parameters,
    )
    return [RunColumn(**{**row, "name": written(row["kind"], row["name"], {})}) for row in rows]


def _metric_columns(cursor: Cursor, where: str, parameters: Sequence[Any]) -> list[RunColumn]:
    rows = cursor.rows(
        "SELECT v.name, v.context, count(*) AS runs, min(v.last) FILTER (isfinite(v.last)) AS min, "
        f"max(v.last) FILTER (isfinite(v.last)) AS max FROM ({SERIES}) v "
        "JOIN runs r ON r.id = v.run_id LEFT JOIN projects p ON p.id = r.project_id "
        f"WHERE {where} GROUP BY v.name, v.context",
        *parameters,
    )
    return [
        RunColumn(
            name=written("metric", row["name"], context_of(row["context"])),
            kind="metric",
            type="number",
            runs=row["runs"],
            min=row["min"],
            max=row["max"],
        )
        for row in rows
    ]
