"""Runs as a table: filtered and sorted by the lab server, with a column for each parameter and figure."""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.records.metrics import Mode
from modelship_lab.records.run_table import RunColumn, RunRows

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client.lab import Lab

MAIN_FIGURES = ("test_accuracy", "test_macro_f1", "test_mae", "test_r2", "val_accuracy", "val_loss")
KINDS = ("summary", "metrics", "params")
_PAGE = 1000
_MOST_COLUMNS = 500
_HIGHER_IS_BETTER = (
    "accuracy",
    "acc",
    "f1",
    "auc",
    "auroc",
    "precision",
    "recall",
    "r2",
    "score",
    "reward",
    "bleu",
)


def run_columns(lab: "Lab", project: str | int | None = None) -> list[RunColumn]:
    """The parameters, metrics and final figures that runs have, those of most runs first."""
    return list(
        lab.connection.record(Page[RunColumn], "GET", "runs/columns", params={"project": project}).items
    )


def run_table(
    lab: "Lab",
    project: str | int | None,
    filter: str,
    sort: Sequence[str],
    columns: Sequence[str] | None,
    limit: int | None,
) -> "pl.DataFrame":
    """One row for each run that the filter lets through; see `Lab.runs`."""
    import polars as pl

    if columns is None:
        columns = [column.name for column in run_columns(lab, project)][:_MOST_COLUMNS]
    params = {"project": project, "filter": filter, "sort": list(sort), "columns": list(columns)}
    frames: list[pl.DataFrame] = []
    rows = 0
    while limit is None or rows < limit or not frames:
        size = _PAGE if limit is None else min(_PAGE, limit - rows)
        try:
            frame = lab.frame("runs/table", {**params, "limit": size, "offset": rows})
        except InvalidInput as error:
            raise marked(error, filter) from error
        frames.append(frame)
        rows += frame.height
        if frame.height < size:
            break
    # A run that came in meanwhile has moved others from one page to the next.
    table = pl.concat(frames, how="vertical_relaxed").unique("id", keep="first", maintain_order=True)
    return table.select("id", "name", pl.exclude("id", "name", "tags"), "tags")


def best_run(
    lab: "Lab", metric: str, mode: Mode | None, project: str | int | None, filter: str
) -> tuple[int, str, Mode]:
    """The run that is best by a metric, with the column by which it is and the direction; see `Lab.best_run`."""
    column = figure_column(lab, metric, project)
    mode = mode or usual_mode(column)
    has_it = f"{in_filter(column)} is not None"
    asked = f"({filter}) and {has_it}" if filter.strip() else has_it
    params = {
        "project": project,
        "filter": asked,
        "sort": [column if mode == "min" else f"-{column}"],
        "columns": [column],
        "limit": 1,
    }
    try:
        rows = lab.connection.record(RunRows, "GET", "runs/table", params=params).items
    except InvalidInput as error:
        raise marked(error, asked) from error
    if not rows or rows[0].values.get(column) is None:
        raise NotFound(f"No run has '{column}'" + (f" and passes the filter {filter}." if filter else "."))
    return rows[0].id, column, mode


def usual_mode(column: str) -> Mode:
    """Whether the largest or the smallest figure is the best, by its name."""
    name = column.split("{")[0].replace('"]', "").lower()
    words = name.replace("/", "_").replace(".", "_").split("_")
    return "max" if words[-1] in _HIGHER_IS_BETTER else "min"


def figure_column(lab: "Lab", metric: str, project: str | int | None) -> str:
    """The column of a figure that is called by its name alone, e.g. `metrics.loss` of `loss`.

    Raises:
        NotFound: no run has such a figure.
    """
    if metric.startswith(tuple(f"{kind}{mark}" for kind in KINDS for mark in ".[")):
        return metric
    known = [column.name for column in run_columns(lab, project) if column.kind != "param"]
    for kind in KINDS[:2]:
        for name in (f"{kind}.{metric}", f'{kind}["{metric}"]'):
            if name in known:
                return name
    some = ", ".join(known[:8]) or "none yet"
    raise NotFound(f"No run has a figure '{metric}'. There are: {some}.")


def in_filter(column: str) -> str:
    """How a filter calls a column: `metrics["loss", "subset=val"]` for `metrics.loss{subset=val}`."""
    if not column.endswith("}"):
        return column
    name, _, context = column[:-1].partition("{")
    kind = name.split(".")[0].split("[")[0]
    called = name[len(kind) :].removeprefix(".")
    quoted = called[1:-1] if called.startswith("[") else f'"{called}"'
    # A comma in quotes is one of a value.
    found = re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^,])+', context)
    pairs = "".join(f", {json.dumps(pair.strip(), ensure_ascii=False)}" for pair in found)
    return f"{kind}[{quoted}{pairs}]"


def marked(error: InvalidInput, filter: str) -> InvalidInput:
    """The error of a filter with a mark under the place that is meant."""
    place = next((one.get("offset") for one in error.details if one.get("field") == "filter"), None)
    if not isinstance(place, int):
        return error
    shown = " ".join(filter.splitlines())
    better = InvalidInput(f"{error.message}\n    {shown}\n    {' ' * place}^", error.details)
    better.request_id = error.request_id
    return better


def told_apart(table: "pl.DataFrame") -> "pl.DataFrame":
    """The columns of a table of runs by which its runs are told apart.

    Of the figures the main ones, or all if a run has none of them; of the parameters those that
    differ among the runs that have them; nothing that is empty. What tells most stands first: which
    run it is, how it ended, its figures, its duration and start.
    """
    figures = [name for name in table.columns if name.startswith(("summary", "metrics"))]
    main = [f"summary.{name}" for name in MAIN_FIGURES if f"summary.{name}" in figures] or figures

    def says_something(name: str) -> bool:
        column = table[name]
        if name.startswith("params"):
            return column.drop_nulls().n_unique() > 1
        if name == "tags":
            return bool((column.list.len() > 0).any())
        if name == "children":
            return bool((column > 0).any())
        if name == "name":
            return not column.equals(table["recipe"], check_names=False)
        return bool((column != "").any()) if column.dtype == str else column.null_count() < table.height

    first = ["id", "name", "project", "recipe", "group", "status", *main, "duration_s", "started_at"]
    params = [name for name in table.columns if name.startswith("params")]
    return table.select([name for name in [*first, *params, "children", "tags"] if says_something(name)])
