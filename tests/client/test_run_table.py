"""Runs side by side."""

import polars as pl

from modelship_lab import client
from modelship_lab.client.run_table import compared, run_table


def test_figures_and_parameters_are_columns_and_equal_ones_can_be_left_out(lab: client.Lab) -> None:
    project = lab.new_project("table", "text_classification", ["a", "b"])
    for rate, depth in ((0.1, 2), (0.5, "deep")):
        params = {"rate": rate, "depth": depth, "same": 7}
        with lab.start_run(f"rate {rate}", project="table", params=params) as run:
            run.set_summary({"test_accuracy": rate, "seconds": 3, "never": float("nan")})
    table = project.runs()
    assert table["name"].to_list() == ["rate 0.5", "rate 0.1"]
    assert table["test_accuracy"].to_list() == [0.5, 0.1]
    assert table["params.rate"].to_list() == [0.5, 0.1]
    assert table["params.depth"].to_list() == ["deep", "2"]
    assert table["params.same"].dtype == pl.Int64
    assert "never" not in table.columns
    shown = compared(table).columns
    assert {"name", "test_accuracy", "params.rate", "params.depth"} <= set(shown)
    assert shown.index("test_accuracy") < shown.index("duration_s") < shown.index("started_at")
    assert not {"seconds", "params.same", "tags", "error"} & set(shown)


def test_no_runs_are_an_empty_table() -> None:
    table = run_table([])
    assert table.is_empty()
    assert table.columns[:3] == ["id", "name", "project"]
