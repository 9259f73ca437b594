"""Runs side by side: one row each, a column for each parameter and final figure."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from modelship_lab.records.tracking import Run

if TYPE_CHECKING:
    import polars as pl

MAIN_FIGURES = ("test_accuracy", "test_macro_f1", "val_accuracy", "val_loss")


def run_table(runs: Iterable[Run]) -> "pl.DataFrame":
    """One row for each run.

    The columns are `id`, `name`, `project`, `recipe`, `status`, `snapshot_id`, `duration_s`,
    `started_at`, then the final figures under their names, then the parameters as `params.<name>`,
    then `tags` and `error`. A parameter whose values are of several types is text.
    """
    import polars as pl

    runs = list(runs)
    columns: dict[str, Any] = {
        "id": pl.Series([run.id for run in runs], dtype=pl.Int64),
        "name": pl.Series([run.name for run in runs], dtype=pl.String),
        "project": pl.Series([run.project for run in runs], dtype=pl.String),
        "recipe": pl.Series([run.recipe for run in runs], dtype=pl.String),
        "status": pl.Series([run.status for run in runs], dtype=pl.String),
        "snapshot_id": pl.Series([run.snapshot_id for run in runs], dtype=pl.Int64),
        "duration_s": pl.Series([_duration_s(run) for run in runs], dtype=pl.Float64),
        "started_at": pl.Series([run.started_at for run in runs], dtype=pl.Datetime("us", "UTC")),
    }
    for name in _names(run.summary for run in runs):
        title = name if name not in columns else f"summary.{name}"
        columns[title] = pl.Series([run.summary.get(name) for run in runs], dtype=pl.Float64)
    for name in _names(run.params for run in runs):
        columns[f"params.{name}"] = _parameter([run.params.get(name) for run in runs])
    columns["tags"] = pl.Series([list(run.tags) for run in runs], dtype=pl.List(pl.String))
    columns["error"] = pl.Series([run.error for run in runs], dtype=pl.String)
    return pl.DataFrame(columns)


def compared(table: "pl.DataFrame") -> "pl.DataFrame":
    """The columns of a `run_table` by which its runs are told apart.

    Of the figures the main ones, or all if a run has none of them; of the parameters those that
    differ among the runs that have them; nothing that is empty. What tells most stands first: which
    run it is, how it ended, its figures, its duration and start.
    """
    columns = table.columns
    figures = [
        name
        for name in columns[columns.index("started_at") + 1 :]
        if not name.startswith("params.") and name not in ("tags", "error")
    ]
    main = [name for name in MAIN_FIGURES if name in figures] or figures

    def says_something(name: str) -> bool:
        column = table[name]
        if name in figures and name not in main:
            return False
        if name.startswith("params."):
            return column.drop_nulls().n_unique() > 1
        if name == "tags":
            return bool((column.list.len() > 0).any())
        if name == "name":
            return not column.equals(table["recipe"], check_names=False)
        return column.null_count() < table.height and (name != "error" or bool((column != "").any()))

    first = ["id", "name", "project", "recipe", "status", *main, "duration_s", "started_at"]
    order = first + [name for name in columns if name not in first]
    return table.select([name for name in order if says_something(name)])


def _names(mappings: Iterable[dict[str, Any]]) -> list[str]:
    names: dict[str, None] = {}
    for mapping in mappings:
        names.update(dict.fromkeys(mapping))
    return list(names)


def _duration_s(run: Run) -> float:
    return ((run.ended_at or run.heartbeat_at) - run.started_at).total_seconds()


def _parameter(values: list[Any]) -> "pl.Series":
    import polars as pl

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        return pl.Series([None if value is None else float(value) for value in values], dtype=pl.Float64)
    if len(kinds) == 1 and kinds <= {bool, int, str}:
        return pl.Series(values)
    return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)
