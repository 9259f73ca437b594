"""A run in a notebook: its chart while it goes on, its summary afterwards, and never both."""

import threading

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from modelship_lab import client
from modelship_lab.notebook import widgets

if not (widgets._STATIC / "loader.js").exists():
    pytest.skip("the JavaScript is not built", allow_module_level=True)


def outputs(shell: InteractiveShell, cell: str, run: client.RunHandle | None = None) -> list[dict]:
    """What is shown under a cell, until a run has ended."""
    with capture_output() as captured:
        shell.run_cell(cell, store_history=True)
        if run is not None:
            run.finish()
            for thread in threading.enumerate():
                if thread.name == f"mlship-summary-{run.id}":
                    thread.join(30)
    return [output.data for output in captured.outputs if output.data]


def test_a_run_is_its_chart_and_leaves_its_summary(shell: InteractiveShell, lab: client.Lab) -> None:
    run = lab.start_run("shown", params={"depth": None})
    run.log({"loss": 0.5}, step=1)
    shell.user_ns["shown"] = run
    twice = "from modelship_lab.notebook.run_display import show_run\nshow_run(shown)\nshown"
    live, ended = outputs(shell, twice, run)
    assert (
        live[widgets.VIEW_TYPE]
        == ended[widgets.VIEW_TYPE]
        == {
            "view": "run_chart",
            "lab_id": lab.info.lab_id,
            "run_ids": [run.id],
        }
    )
    # A saved notebook needs no widget of a kernel that is gone.
    assert "application/vnd.jupyter.widget-view+json" in live
    assert "application/vnd.jupyter.widget-view+json" not in ended
    assert "finished" in ended["text/html"]
    assert "data:image/png" in ended["text/html"]

    (summary,) = outputs(shell, "shown")
    assert "finished" in summary["text/html"]
    assert ">default<" in summary["text/html"]
    # It can still be zoomed into; no kernel is needed for it.
    assert summary[widgets.VIEW_TYPE] == live[widgets.VIEW_TYPE]
    assert "application/vnd.jupyter.widget-view+json" not in summary
    report, _ = shell.display_formatter.format(shell.run_cell(f"%mlship run {run.id}").result)
    assert report[widgets.VIEW_TYPE] == live[widgets.VIEW_TYPE]
    assert "finished" in report["text/html"]


def test_the_verb_shows_a_run_of_another_program_live(shell: InteractiveShell, lab: client.Lab) -> None:
    run = lab.start_run("elsewhere")
    live, *_ = outputs(shell, f"%mlship run {run.id}", run)
    assert live[widgets.VIEW_TYPE]["run_ids"] == [run.id]
    assert shell.run_cell(f"%mlship run {run.id}").result.run.status == "finished"
