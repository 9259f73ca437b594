"""Runs listed, the best of them, and side by side in a notebook: values to compute with, views to look at."""

import polars as pl
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from modelship_lab import client
from modelship_lab.notebook import widgets
from modelship_lab.notebook.completion import completions, split

if not (widgets._STATIC / "loader.js").exists():
    pytest.skip("the JavaScript is not built", allow_module_level=True)


@pytest.fixture
def runs(lab: client.Lab) -> list[int]:
    ids = []
    lab.new_project("sweep", exist_ok=True)
    for rate in (0.1, 0.4):
        with lab.start_run(f"rate {rate}", project="sweep", params={"rate": rate, "note": "<b>"}) as run:
            for step in range(4):
                run.log({"loss": rate / (step + 1)}, step=step)
            run.set_summary({"val_accuracy": 1 - rate})
            run.save_artifact("cell.py", f"rate = {rate}\nprint('<script>')\n")
        ids.append(run.id)
    return ids


def test_a_list_of_runs_is_a_frame_and_a_view(shell: InteractiveShell, runs: list[int]) -> None:
    table = shell.run_line_magic(
        "mlship", "runs sweep --filter 'params.rate < 9' --sort -params.rate --columns params.rate --limit 2"
    )
    assert isinstance(table, pl.DataFrame)
    assert table["params.rate"].to_list() == [0.4, 0.1]
    data, _ = shell.display_formatter.format(table)
    assert data[widgets.VIEW_TYPE] == {
        "view": "run_table",
        "lab_id": shell.display_formatter.format(table)[0][widgets.VIEW_TYPE]["lab_id"],
        "project": "sweep",
        "filter": "params.rate < 9",
        "sort": ["-params.rate"],
        "columns": ["params.rate"],
        "limit": 2,
    }
    assert "rate 0.4" in data["text/html"]
    # A frame that is made from it asks nothing of the lab.
    assert widgets.VIEW_TYPE not in shell.display_formatter.format(table.head(1))[0]


def test_a_mistake_is_shown_under_its_place(shell: InteractiveShell, runs: list[int]) -> None:
    with pytest.raises(UsageError) as raised:
        shell.run_line_magic("mlship", "runs sweep --filter 'params.rate < 1 and stauts == 1'")
    told, expression, mark = str(raised.value).split("\n")
    assert "did you mean 'status'" in told
    assert expression.index("stauts") == mark.index("^")


def test_the_best_run_is_a_handle(shell: InteractiveShell, runs: list[int]) -> None:
    best = shell.run_line_magic("mlship", "best val_accuracy --project sweep")
    assert best.record.params["rate"] == 0.1
    assert shell.run_line_magic("mlship", "best loss --mode max --project sweep").record.params["rate"] == 0.4


def test_a_comparison_is_a_view_that_leaves_tables_and_curves(
    shell: InteractiveShell, runs: list[int]
) -> None:
    found = shell.run_line_magic("mlship", f"compare {runs[0]} {runs[1]} --code")
    data, _ = shell.display_formatter.format(found)
    assert data[widgets.VIEW_TYPE]["run_ids"] == runs
    assert data[widgets.VIEW_TYPE]["tab"] == "code"
    html = data["text/html"]
    assert "data:image/png;base64," in html
    assert "0.4" in html
    assert "+rate = 0.4" in html
    assert "&lt;script&gt;" in html or "print" not in html
    assert "<script>" not in html
    assert "note" not in html
    assert found.params()[0].values == (0.1, 0.4)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("runs sweep --filter par", "params.rate"),
        (
            'runs sweep --filter \'status == "finished" and metrics.lo',
            '\'status == "finished" and metrics.loss',
        ),
        ("runs sweep --filter 'status == ", '\'status == "finished"'),
        ("runs sweep --sort name,-metrics.l", "name,-metrics.loss"),
        ("runs sweep --columns params.rate,metr", "params.rate,metrics.loss"),
        ("best val_", "val_accuracy"),
    ],
)
def test_columns_are_completed(shell: InteractiveShell, runs: list[int], line: str, expected: str) -> None:
    magics = shell.magics_manager.registry["LabMagics"]
    *words, incomplete = split(line)
    assert expected in completions(words, incomplete, magics.session)
