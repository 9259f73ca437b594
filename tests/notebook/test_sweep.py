"""A sweep in a notebook: its trials while they are made, its summary afterwards."""

import threading

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from modelship_lab import client
from modelship_lab.notebook import widgets

if not (widgets._STATIC / "loader.js").exists():
    pytest.skip("the JavaScript is not built", allow_module_level=True)

SWEEP = """
import modelship_lab
lab = modelship_lab.connect()
found = lab.sweep(
    lambda run, params: params["x"] * params["scale"], {"x": [3, 1, 2], "scale": 0.5},
    name="in a notebook", metric="loss",
)
found
"""


def test_a_sweep_is_shown_while_it_goes_on_and_leaves_its_summary(
    shell: InteractiveShell, lab: client.Lab
) -> None:
    with capture_output() as captured:
        shell.run_cell(SWEEP, store_history=True)
        found = shell.user_ns["found"]
        for thread in threading.enumerate():
            if thread.name == f"mlship-summary-{found.id}":
                thread.join(30)
    live, ended = (output.data for output in captured.outputs if output.data)
    shown = {"view": "run_chart", "lab_id": lab.info.lab_id, "run_ids": [found.id]}
    assert live[widgets.VIEW_TYPE] == ended[widgets.VIEW_TYPE] == shown
    assert "application/vnd.jupyter.widget-view+json" in live
    assert "application/vnd.jupyter.widget-view+json" not in ended
    assert "least loss" in ended["text/html"]
    assert "data:image/png" in ended["text/html"]
    assert "3 finished" in ended["text/html"]
    # Another cell shows what is known, also by the number of its run.
    for cell in ("found", f"lab.run({found.id})"):
        with capture_output() as captured:
            shell.run_cell(cell, store_history=True)
        (summary,) = (output.data for output in captured.outputs if output.data)
        assert "data:image/png" in summary["text/html"]
        assert summary[widgets.VIEW_TYPE] == shown
    assert found.best_params == {"x": 1, "scale": 0.5}


@pytest.mark.slow
def test_the_verb_sweeps_a_recipe_and_returns_at_once(shell: InteractiveShell, lab: client.Lab) -> None:
    project = lab.new_project("swept in a notebook", "text_classification", ["bad", "good"])
    project.import_frame(_reviews(), text="text", label="label")
    line = (
        "%mlship sweep 'swept in a notebook' --grid epochs=1,2 --range learning_rate=0.001..0.1:log "
        "--trials 2 --metric val_accuracy --seed 1 --name tried"
    )
    with capture_output() as captured:
        found = shell.run_cell(line).result
        assert found.is_running
        found.wait(90)
    assert any(widgets.VIEW_TYPE in output.data for output in captured.outputs)
    report = found.report()
    assert (report.run.name, report.run.status, report.statuses) == ("tried", "finished", {"finished": 2})
    assert report.is_max
    assert report.run.params["sampler"] == "tpe"


def _reviews():
    import polars as pl

    texts = [f"{word} {number}" for number in range(20) for word in ("awful", "great")]
    return pl.DataFrame({"text": texts, "label": ["bad", "good"] * 20})
