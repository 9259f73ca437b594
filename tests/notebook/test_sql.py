"""`%%mlship sql` in a notebook's shell and in a real kernel."""

from pathlib import Path

import polars as pl
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import start_new_kernel

from modelship_lab import client
from tests.conftest import LabServer


@pytest.fixture
def run_id(lab: client.Lab) -> int:
    with lab.start_run("asked", params={"rate": 0.5}) as run:
        for step in range(150):
            run.log({"loss": 1 / (step + 1)}, step=step)
    return run.id


def ask(shell: InteractiveShell, line: str, cell: str):
    return shell.run_cell_magic("mlship", f"sql {line}".strip(), cell)


def test_a_cell_is_answered_with_the_frames_of_the_notebook(shell: InteractiveShell, run_id: int) -> None:
    shell.user_ns["weights"] = pl.DataFrame({"run": [run_id], "weight": [3.0]})
    # A dash at its beginning is no option.
    cell = (
        "-- the best\nselect min(value) * weight as best\n"
        "from metrics join weights on run = run_id\ngroup by weight\n"
    )
    shown = ask(shell, "--out best", cell)
    assert shown["best"].to_list() == pytest.approx([3 / 150])
    assert type(shell.user_ns["best"]) is pl.DataFrame
    assert shell.user_ns["best"].equals(shown)


def test_long_answers_are_shown_in_part_and_kept_whole(shell: InteractiveShell, run_id: int) -> None:
    shown = ask(shell, "--out points", f"select step, value from metrics where run_id = {run_id}")
    looks, _ = shell.display_formatter.format(shown)
    assert "and 50 more" in looks["text/html"]
    assert "and 50 more" in looks["text/plain"]
    assert shell.user_ns["points"].height == 150


def test_a_variable_with_the_name_of_a_table_is_told(
    shell: InteractiveShell, run_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.user_ns["runs"] = pl.DataFrame({"id": [-1]})
    assert ask(shell, "", f"select id from runs where id = {run_id}")["id"].to_list() == [run_id]
    assert "'runs' is the lab's table here" in capsys.readouterr().err


def test_a_mistake_is_one_line_that_says_where(shell: InteractiveShell) -> None:
    with pytest.raises(UsageError, match=r"'metrix'. Did you mean 'metrics'\? \(line 2, column 6\)"):
        ask(shell, "", "select *\nfrom metrix\n")
    with pytest.raises(UsageError, match="no name of a variable"):
        ask(shell, "--out 1x", "select 1")
    with pytest.raises(UsageError, match="one statement that begins with SELECT"):
        ask(shell, "", "install httpfs")


def test_without_a_statement_the_tables_are_listed(shell: InteractiveShell) -> None:
    tables = shell.run_line_magic("mlship", "sql")
    assert {"metrics", "runs", "events"} <= set(tables["table"])


def test_tables_and_their_columns_are_completed(shell: InteractiveShell) -> None:
    def completed(cell: str) -> set[str]:
        with provisionalcompleter():
            return {one.text for one in shell.Completer.completions(cell, len(cell))}

    shell.user_ns["models_of_mine"] = pl.DataFrame({"a": [1]})
    shell.user_ns["modest"] = 1
    assert completed("%%mlship sql\nselect *\nfrom mod") == {"model_versions", "models", "models_of_mine"}
    assert completed("%%mlship sql --out x\nselect metrics.va") == {"value"}
    assert "model_versions" not in completed("%%mlship run x\nmod")


def test_in_a_real_kernel(at_lab: LabServer, run_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    manager, kernel = start_new_kernel(kernel_name="python3")
    outputs: list[dict] = []
    try:
        for code in (
            "%load_ext modelship_lab",
            f"import pandas as pd\nmine = pd.DataFrame({{'run': [{run_id}]}})",
            "%%mlship sql --out answer\nselect name, count(*) as points from mine join metrics on run = run_id "
            "group by name",
            "answer.rows()",
        ):
            reply = kernel.execute_interactive(code, timeout=60, output_hook=outputs.append)
            assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
    texts = [one["content"]["data"]["text/plain"] for one in outputs if "data" in one["content"]]
    assert texts[-1] == "[('loss', 150)]"
    assert "points" in texts[0]
