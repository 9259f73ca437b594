"""Runs of a CSV file of metrics."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from modelship_lab.client.exchange.transfer import SourceRun, Tally, schema
from modelship_lab.records.errors import InvalidData
from modelship_lab.records.metrics import Context, context_text

if TYPE_CHECKING:
    import polars as pl

_PLACES = ("run", "context", "step", "time")
"""Columns that say where a value belongs; all others of a wide file are metrics."""
_SUFFIXES = (".csv", ".tsv", ".tab")
_CONTEXT: TypeAdapter[dict[str, str]] = TypeAdapter(Context)
_SECONDS_BELOW = 1e11
_MILLISECONDS_BELOW = 1e14


class MetricsCsv:
    """Reads a CSV file of metrics.

    Either a line for each point, with columns `name` and `value`, or a line for each moment, with a
    column for each metric, where an empty cell is no point. In both `run`, `context`, `step` and `time`
    may be there: without `run` the file is one run, without `step` the points count from 0, without `time`
    they have the file's. A context is a JSON object of texts, or a word, e.g. `val` for {"subset": "val"}. A time is ISO 8601 (in UTC, unless it says otherwise) or a number of seconds,
    milliseconds or microseconds since 1970, told apart by its size.

    Args:
        path: of the file; commas, semicolons or tabs separate its columns.
        tally: what is left out, and what cannot be read, is said there.
    """

    kind = "csv"

    def __init__(self, path: Path, tally: Tally) -> None:
        self._path = path
        self._tally = tally
        self._bad_lines: list[int] = []

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether it is such a file, by its name."""
        return path.suffix.lower() in _SUFFIXES

    def runs(self) -> Iterator[SourceRun]:
        import polars as pl

        cells = self._read()
        is_long = {"name", "value"} <= set(cells.columns)
        points = self._placed(cells if is_long else self._melted(cells), per_line=not is_long)
        self._tally.points_total = points.height
        for (run,), of_run in points.group_by("run", maintain_order=True):
            times = of_run.get_column("time")
            table = of_run.select(schema().names).to_arrow(compat_level=pl.CompatLevel.oldest())
            tables = [table.cast(schema())]
            yield SourceRun(
                id=f"{self._path.resolve()}\0{run}",
                name=str(run),
                origin={"kind": self.kind, "run": str(run), "file": self._path.name},
                started_at=times.min(),  # type: ignore[arg-type]
                ended_at=times.max(),  # type: ignore[arg-type]
                points=lambda tables=tables: iter(tables),  # type: ignore[misc]
            )

    def _read(self) -> "pl.DataFrame":
        """All cells as text, with the line of each row."""
        import polars as pl
        import pyarrow as pa
        from pyarrow import csv

        def bad(row: Any) -> str:
            self._bad_lines.append(row.number)
            self._tally.problem(
                f"{self._path}:{row.number}", f"{row.actual_columns} cells, not {row.expected_columns}"
            )
            return "skip"

        try:
            with self._path.open("rb") as file:
                header = file.readline().decode("utf-8-sig")
            delimiter = max(",;\t", key=header.count)
            names = csv.read_csv(
                pa.py_buffer(header.encode()), parse_options=csv.ParseOptions(delimiter=delimiter)
            ).column_names
            read = csv.read_csv(
                self._path,
                # In order, so that a bad line has its number.
                read_options=csv.ReadOptions(use_threads=False),
                parse_options=csv.ParseOptions(delimiter=delimiter, invalid_row_handler=bad),
                convert_options=csv.ConvertOptions(
                    column_types={name: pa.string() for name in names}, strings_can_be_null=False
                ),
            )
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InvalidData(f"{self._path} cannot be read: {' '.join(str(error).split())[:300]}") from error
        if len(set(names)) != len(names) or not names:
            raise InvalidData(f"{self._path}: two columns have the same name.")
        frame = pl.DataFrame(pl.from_arrow(read))
        return frame.rename({name: name.strip() for name in names}).with_row_index("line")

    def _melted(self, cells: "pl.DataFrame") -> "pl.DataFrame":
        """A row for each cell of a metric that is not empty."""
        import polars as pl

        metrics = [name for name in cells.columns if name not in (*_PLACES, "line")]
        places = [name for name in (*_PLACES, "line") if name in cells.columns]
        numbers = [
            name
            for name in metrics
            if cells.select(
                _number(name).is_not_null().any() | (pl.col(name).str.strip_chars() == "").all()
            ).item()
        ]
        self._tally.leave_out("columns without a number", len(metrics) - len(numbers))
        if not numbers:
            raise InvalidData(
                f"{self._path} holds no metrics: neither columns `name` and `value`, nor a column of numbers."
            )
        melted = cells.unpivot(numbers, index=places, variable_name="name", value_name="value")
        return melted.filter(pl.col("value").str.strip_chars() != "").sort("line", maintain_order=True)

    def _placed(self, cells: "pl.DataFrame", *, per_line: bool) -> "pl.DataFrame":
        """The points: run, name, context, step, time, value."""
        import polars as pl

        def text(name: str) -> pl.Expr:
            return pl.col(name).str.strip_chars() if name in cells.columns else pl.lit("")

        run = text("run")
        stem = pl.lit(self._path.stem)
        named = cells.with_columns(
            run=pl.when(run == "").then(stem).otherwise(run), name=text("name"), context=_contexts(cells)
        )
        order = (
            pl.col("line").rank("dense").over("run") - 1
            if per_line
            else pl.int_range(pl.len()).over("run", "name", "context")
        )
        changed = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        step = text("step")
        read = named.with_columns(
            value=_number("value"),
            wrong=pl.col("value"),
            step=pl.when(step == "").then(order.cast(pl.Int64)).otherwise(_whole(step)),
            time=_times(named, changed),
        )
        for column in ("value", "step", "time", "context", "name"):
            bad = pl.col("name") == "" if column == "name" else pl.col(column).is_null()
            for line, value in read.filter(bad).select("line", "wrong").iter_rows():
                said = repr(value)[:80] if column == "value" else "of this line"
                self._tally.problem(f"{self._path}:{self._line(line)}", f"the {column} {said} cannot be read")
            read = read.filter(~bad)
        return read.select("run", *schema().names)

    def _line(self, row: int) -> int:
        """The line of a row, counting the header and the bad lines before it."""
        line = row + 2
        for bad in self._bad_lines:
            line += bad <= line
        return line


def _number(name: str) -> "pl.Expr":
    import polars as pl

    return pl.col(name).str.strip_chars().cast(pl.Float64, strict=False)


def _whole(text: "pl.Expr") -> "pl.Expr":
    import polars as pl

    figure = text.cast(pl.Float64, strict=False)
    whole = pl.when(figure == figure.round()).then(figure).cast(pl.Int64, strict=False)
    return pl.coalesce(text.cast(pl.Int64, strict=False), whole)


def _contexts(cells: "pl.DataFrame") -> "pl.Series":
    """The contexts of the rows as JSON; null where they cannot be read."""
    import polars as pl

    none = pl.Series("context", [""], dtype=pl.String).new_from_index(0, cells.height)
    texts = cells.get_column("context", default=none).str.strip_chars()
    known = {text: _context(text) for text in texts.unique().to_list()}
    return pl.Series("context", [known[text] for text in texts.to_list()], dtype=pl.String)


def _context(text: str) -> str | None:
    if not text.startswith("{"):
        text = json.dumps({"subset": text} if text else {})
    try:
        return context_text(_CONTEXT.validate_json(text))
    except ValidationError:
        return None


def _times(cells: "pl.DataFrame", default: datetime) -> "pl.Series":
    """The times of the rows; null where they cannot be read."""
    import polars as pl

    kind = pl.Datetime("us", "UTC")
    if "time" not in cells.columns:
        return pl.Series("time", [default], dtype=kind).new_from_index(0, cells.height)
    known: dict[str, datetime | None] = {"": default}
    texts = cells.get_column("time").str.strip_chars()
    for text in texts.unique().to_list():
        known.setdefault(text, _time(text))
    return pl.Series("time", [known[text] for text in texts.to_list()], dtype=kind)


def _time(text: str) -> datetime | None:
    try:
        number = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    size = abs(number)
    seconds = number if size < _SECONDS_BELOW else number / (1e3 if size < _MILLISECONDS_BELOW else 1e6)
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
