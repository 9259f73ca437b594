"""SQL over everything that the lab knows, joined with one's own frames.

It runs here, in the caller's process, over Arrow tables that the server hands out under the
caller's permissions. Nothing of it runs in the server.

What is fetched is what DuckDB's own plan of the statement reads: the plan is made over empty tables
of the same columns, with the optimizer told to do nothing that depends on what is in them. So a
column, a run or a row that the plan does not read cannot change the answer.
"""

import difflib
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import duckdb
import polars as pl
import pyarrow as pa

from modelship_lab.client.connection import ARROW, Connection
from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.tables import LabTable

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab

_PLANNING = frozenset(
    {
        "cte_filter_pusher",
        "cte_inlining",
        "deliminator",
        "expression_rewriter",
        "filter_pullup",
        "filter_pushdown",
        "in_clause",
        "unused_columns",
    }
)
"""The optimizers that are on while it is found out what a statement reads: none that looks at the data."""

_MOST_NUMBERS = 100
"""How many runs are named in one request; a statement about more fetches them all."""

_FETCH_TIMEOUT_S = 600.0

_EXPLAIN = "EXPLAIN (FORMAT JSON)\n"

_EQUAL = re.compile(r"\((\w+) = (\d+)\)")
_IN = re.compile(r"(?:optional: )?\((\w+) IN \((\d+(?:, \d+)*)\)\)")
_BETWEEN = re.compile(r"\(\((\w+) >= (\d+)\) AND \(\1 <= (\d+)\)\)")

_PLACE = re.compile(r"\n+LINE (\d+): (.*)\n( *)\^")
_NO_TABLE = re.compile(r"Table with name (.+?) does not exist")


def query(
    lab: "Lab",
    statement: str,
    frames: Mapping[str, Any] | None = None,
    *,
    namespace: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> pl.DataFrame:
    """Answer one SELECT statement in DuckDB's SQL.

    Args:
        statement: over the tables of the lab (`tables` lists them) and the frames, by their names.
        frames: frames of polars, pandas or Arrow by name.
        namespace: variables; those of them that are frames can be named in the statement, too.
        tell: is told of variables that have the name of a table, and are not used for that.

    Raises:
        InvalidInput: the statement is not right, with the place; a frame is none, or has a table's name.
    """
    known = {one.name: one for one in tables(lab)}
    words = _words(statement)
    given = _given(frames or {}, known)
    for name, value in (namespace or {}).items():
        if name.lower() in words and _is_frame(value) and name.lower() not in map(str.lower, given):
            if name.lower() in known:
                tell(
                    f"'{name}' is the lab's table here, not your variable of that name: "
                    "give the variable another name to use it."
                )
            else:
                given[name] = value
    names = [*known, *given, *(name for name, value in (namespace or {}).items() if _is_frame(value))]
    with _connect() as connection:
        try:
            _prepare(connection, known.values(), given)
            # A PIVOT without IN asks the data for its columns, so it cannot be planned without them.
            needs = (
                [Need(one, (), {}, None) for name, one in known.items() if name in words]
                if _is_several(connection, statement)
                else _needs(connection, statement, known)
            )
            fetched = [_fetch(lab.connection, need) for need in needs]
            for need, table in zip(needs, fetched, strict=True):
                _fill(connection, need, table)
            return _frame(connection.sql(statement).to_arrow_table())
        except duckdb.Error as error:
            raise InvalidInput(_said(str(error), statement, names)) from None


def tables(lab: "Lab") -> list[LabTable]:
    """The tables of the lab with their columns."""
    return lab.whole(Page[LabTable], "tables")


def columns(lab: "Lab") -> pl.DataFrame:
    """Every column of every table of the lab: `table`, `column`, `type`, `description`."""
    return pl.DataFrame(
        [
            (table.name, column.name, column.type, column.description)
            for table in tables(lab)
            for column in table.columns
        ],
        schema=["table", "column", "type", "description"],
        orient="row",
    )


@dataclass(frozen=True)
class Need:
    """What a statement reads of a table of the lab.

    Args:
        columns: their names; none: all.
        numbers: for each of these columns, only the rows with one of these numbers are read.
        limit: no more rows than these are read, whichever they are.
    """

    table: LabTable
    columns: tuple[str, ...]
    numbers: Mapping[str, tuple[int, ...]]
    limit: int | None


def _connect() -> duckdb.DuckDBPyConnection:
    """A database in memory that loads nothing over the network, and sees no variables by itself."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "allow_community_extensions": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _given(frames: Mapping[str, Any], known: Mapping[str, LabTable]) -> dict[str, Any]:
    for name, value in frames.items():
        if name.lower() in known:
            raise InvalidInput(f"'{name}' is the name of a table of the lab: give your frame another name.")
        if not _is_frame(value):
            raise InvalidInput(
                f"'{name}' is {type(value).__name__}, not a frame of polars, pandas or Arrow: "
                "only those can be joined."
            )
    return dict(frames)


def _is_frame(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    kinds = (pl.DataFrame, pl.LazyFrame, pa.Table, pa.RecordBatch)
    return isinstance(value, kinds) or (pandas is not None and isinstance(value, pandas.DataFrame))


def _words(statement: str) -> frozenset[str]:
    """All that could be a name in a statement, in lower case."""
    data = statement.encode()
    tokens = duckdb.tokenize(statement)
    words = set()
    for (start, kind), (end, _) in pairwise([*tokens, (len(data), None)]):
        if kind in (duckdb.token_type.identifier, duckdb.token_type.keyword):
            word = data[start:end].decode(errors="replace").strip()
            words.add(word.strip('"').lower())
    return frozenset(words)


def _is_several(connection: duckdb.DuckDBPyConnection, statement: str) -> bool:
    """Whether DuckDB makes several statements of this one.

    Raises:
        InvalidInput: it is not one SELECT statement.
    """
    found = connection.extract_statements(statement)
    kinds = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)
    if len(found) != 1 or found[0].type not in kinds:
        raise InvalidInput(
            "SQL is asked here, nothing is changed: write one statement that begins with SELECT, FROM, WITH, "
            "VALUES, PIVOT, DESCRIBE or SUMMARIZE."
        )
    return bool(found[0].type == duckdb.StatementType.MULTI)


def _prepare(
    connection: duckdb.DuckDBPyConnection, known: Iterable[LabTable], given: Mapping[str, Any]
) -> None:
    """Make all tables, empty, and the frames."""
    for one in known:
        columns = ", ".join(f'"{column.name}" {column.type}' for column in one.columns)
        connection.execute(f"CREATE TABLE {one.name} ({columns})")
    for name, value in given.items():
        connection.register(name, _arrow(value))


def _arrow(frame: Any) -> Any:
    """A frame as DuckDB takes it."""
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    return frame.to_arrow() if isinstance(frame, pl.DataFrame) else frame


def _needs(
    connection: duckdb.DuckDBPyConnection, statement: str, known: Mapping[str, LabTable]
) -> list[Need]:
    """What a statement reads of the lab's tables."""
    optimizers = connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()
    off = ",".join(name for (name,) in optimizers if name not in _PLANNING)
    connection.execute(f"SET disabled_optimizers = '{off}'")
    (plan,) = json.loads(connection.execute(_EXPLAIN + statement).fetchall()[0][1])
    connection.execute("RESET disabled_optimizers")
    scans: dict[str, list[Need]] = {}
    for scan in _scans(plan):
        name = scan["extra_info"]["Table"].split(".")[-1]
        if name in known:
            scans.setdefault(name, []).append(_need(known[name], scan["extra_info"]))
    if len(scans) == 1 and len(*scans.values()) == 1:
        ((need,),) = scans.values()
        return [Need(need.table, need.columns, need.numbers, _limit(plan))]
    return [_both(found) for found in scans.values()]


def _scans(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "Table" in node["extra_info"]:
        yield node
    for child in node["children"]:
        yield from _scans(child)


def _need(table: LabTable, scan: Mapping[str, Any]) -> Need:
    """What one scan of a table reads; it is fetched anyway, so what is not understood does no harm."""
    columns = {one.name for one in table.columns}
    conditions = _several(scan.get("Filters", []))
    numbers = {}
    for condition in conditions:
        name, values = _numbers(condition)
        if name in columns & _FILTERS and 0 < len(values) <= _MOST_NUMBERS:
            numbers[name] = values
    # What is only compared is not among what a scan hands on. A word too many does no harm.
    named = {*_several(scan["Projections"]), *re.findall(r"\w+", " ".join(conditions))}
    read = tuple(one.name for one in table.columns if one.name in named)
    # Only the number of the rows is asked: the first column is as good as any.
    return Need(table, read or (table.columns[0].name,), numbers, None)


_FILTERS = frozenset({"id", "run_id", "project_id"})
"""What the server selects rows by."""


def _several(value: Any) -> list[str]:
    """DuckDB writes one of several without a list."""
    return value if isinstance(value, list) else [value] if value else []


def _numbers(condition: str) -> tuple[str, tuple[int, ...]]:
    """The column that a condition holds to some whole numbers, and these; anything else is no column."""
    if found := _EQUAL.fullmatch(condition):
        return found[1], (int(found[2]),)
    if found := _IN.fullmatch(condition):
        return found[1], tuple(map(int, found[2].split(", ")))
    if found := _BETWEEN.fullmatch(condition):
        first, last = int(found[2]), int(found[3])
        return found[1], tuple(range(first, min(last, first + _MOST_NUMBERS) + 1))
    return "", ()


def _limit(plan: Mapping[str, Any]) -> int | None:
    """How many rows are read at most: known where nothing stands between LIMIT and the table."""
    if plan["name"] not in ("LIMIT", "STREAMING_LIMIT"):
        return None
    said = plan["extra_info"]
    most, skipped = said.get("Limit", ""), said.get("Offset", "0")
    node = plan["children"][0]
    while node["name"] == "PROJECTION":
        (node,) = node["children"]
    plain = "Table" in node["extra_info"] and not {"Filters", "Sample Method"} & set(node["extra_info"])
    return int(most) + int(skipped) if plain and most.isdecimal() and skipped.isdecimal() else None


def _both(scans: list[Need]) -> Need:
    """What several scans of one table read together."""
    table = scans[0].table
    read = {name for scan in scans for name in scan.columns}
    numbers = {
        name: tuple(sorted({number for scan in scans for number in scan.numbers[name]}))
        for name in scans[0].numbers
        if all(name in scan.numbers for scan in scans)
    }
    # Two scans may each select by two columns: their rows are those of one only when there is one column.
    kept = dict(list(numbers.items())[:1]) if len(scans) > 1 else numbers
    kept = {name: values for name, values in kept.items() if len(values) <= _MOST_NUMBERS}
    return Need(table, tuple(one.name for one in table.columns if one.name in read), kept, None)


class _Pieces(io.RawIOBase):
    """An answer that comes in pieces, as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _fetch(connection: Connection, need: Need) -> pa.Table:
    """What is read of a table, from the server."""
    asked = {"columns": need.columns, **need.numbers}
    if need.limit is not None:
        asked["limit"] = (need.limit,)
    path = f"tables/{need.table.name}?{urlencode(asked, doseq=True)}"
    with (
        connection.stream(path, headers={"Accept": ARROW}, timeout_s=_FETCH_TIMEOUT_S) as pieces,
        pa.ipc.open_stream(io.BufferedReader(_Pieces(pieces), 1 << 20)) as stream,
    ):
        return stream.read_all()


def _fill(connection: duckdb.DuckDBPyConnection, need: Need, rows: pa.Table) -> None:
    """Put fetched rows in the place of the empty table; what was not fetched is not read."""
    name = need.table.name
    connection.register(f"fetched {name}", rows)
    columns = ", ".join(
        f'"{one.name}"' if one.name in rows.column_names else f'NULL::{one.type} AS "{one.name}"'
        for one in need.table.columns
    )
    connection.execute(f'DROP TABLE {name}; CREATE VIEW {name} AS SELECT {columns} FROM "fetched {name}"')


def _frame(answer: pa.Table) -> pl.DataFrame:
    """The answer for polars, where no two columns have one name and whole numbers are no decimals."""
    names: list[str] = []
    for name in answer.column_names:
        free = (f"{name}_{number}" for number in count(1))
        names.append(name if name not in names else next(one for one in free if one not in names))
    answer = answer.rename_columns(names)
    for index, field in enumerate(answer.schema):
        if pa.types.is_decimal128(field.type) and (field.type.precision, field.type.scale) == (38, 0):
            # What a sum of whole numbers is for DuckDB. The few that are larger stay decimals.
            try:
                whole = answer.column(index).cast(pa.int64())
            except pa.ArrowInvalid:
                continue
            answer = answer.set_column(index, field.name, whole)
    frame = pl.from_arrow(answer)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _said(message: str, statement: str, names: Iterable[str]) -> str:
    """DuckDB's error as one line, with the place in the statement and what was probably meant."""
    place = _PLACE.search(message)
    text = message[: place.start()] if place else message.split("\nLINE ")[0]
    missing = _NO_TABLE.search(text)
    if missing:
        text = f"There is no table or frame '{missing[1]}'. {_advice(missing[1], names)}"
    elif "requires the extension" in text:
        text = f"{text.splitlines()[0].split(' requires')[0]} is not read: extensions are off here."
    text = " ".join(text.replace("Candidate bindings: :", "Candidate bindings:").split())
    return f"{text} ({_where(place, message, statement)})" if place else text


def _advice(name: str, names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    meant = difflib.get_close_matches(name.strip('"').lower(), every, n=1)
    return f"Did you mean '{meant[0]}'?" if meant else f"There are: {', '.join(every)}."


def _where(place: re.Match[str], message: str, statement: str) -> str:
    """Line and column of an error, both from 1."""
    number, shown, blanks = int(place[1]), place[2], len(place[3])
    column = blanks - len(f"LINE {number}: ")
    lines = statement.split("\n")
    # The plan's statement has a line before it.
    for candidate in (number - 2, number - 1):
        if 0 <= candidate < len(lines):
            # Of a long line a part is shown.
            part = shown.removeprefix("...").removesuffix("...")
            start = lines[candidate].find(part)
            if start >= 0:
                column += start - (3 if shown.startswith("...") else 0)
                return f"line {candidate + 1}, column {column + 1}"
    return f"line {number}"
