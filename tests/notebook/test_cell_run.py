"""`%%mlship run NAME`: a cell as a run."""

import io
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import start_new_kernel
from PIL import Image

from modelship_lab import client
from modelship_lab.client.active_run import active_run
from tests.conftest import LabServer


def newest(lab: client.Lab) -> client.RunHandle:
    return lab.run(lab.run_records(limit=1)[0].id)


def test_what_fails_leaves_its_traceback(shell: InteractiveShell, lab: client.Lab) -> None:
    shell.run_cell_magic("mlship", "run broken", "def divide():\n    return 1 / 0\ndivide()")
    run = newest(lab)
    assert run.record.status == "failed"
    assert b"in divide" in run.artifact("traceback.txt")


def test_an_interrupted_cell_is_a_stopped_run(shell: InteractiveShell, lab: client.Lab) -> None:
    shell.run_cell_magic("mlship", "run interrupted", "raise KeyboardInterrupt")
    assert newest(lab).record.status == "stopped"


def test_the_cells_run_is_the_active_one(shell: InteractiveShell, lab: client.Lab) -> None:
    code = "from modelship_lab.client.active_run import active_run\nassert active_run() is run"
    shell.run_cell_magic("mlship", "run mine", code)
    assert newest(lab).record.status == "finished"
    assert active_run() is None


def test_a_cell_in_a_cell_is_a_child_of_its_run(shell: InteractiveShell, lab: client.Lab) -> None:
    code = "%%mlship run inner --group twins --notes **bold**\nrun.log({'loss': 1})"
    shell.run_cell_magic("mlship", "run outer", f"get_ipython().run_cell({code!r})")
    inner, outer = (lab.run(record.id) for record in lab.run_records(limit=2))
    assert (inner.record.name, outer.record.name) == ("inner", "outer")
    assert (inner.record.parent_id, inner.record.group, inner.record.notes) == (outer.id, "twins", "**bold**")
    assert (inner.record.status, outer.record.status) == ("finished", "finished")


def test_a_run_goes_on_in_another_cell(shell: InteractiveShell, lab: client.Lab) -> None:
    shell.run_cell_magic("mlship", "run first", "run.log({'loss': 2})\n1 / 0")
    first = newest(lab)
    shell.run_cell_magic("mlship", f"run again --resume {first.id} --param depth=3", "run.log({'loss': 1})")
    record = first.refresh()
    assert (record.status, record.error, record.params) == ("finished", "", {"depth": 3})
    assert first.metrics_frame(["loss"])["step"].to_list() == [0, 1]


def test_figures_of_a_kernels_cell_are_kept_and_its_chart_is_shown(
    at_lab: LabServer, lab: client.Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    manager, kernel = start_new_kernel(kernel_name="python3")
    try:
        shown: list[dict] = []

        def execute(code: str) -> dict:
            hook = lambda message: shown.append(message)  # noqa: E731
            return kernel.execute_interactive(code, timeout=90, output_hook=hook)["content"]

        assert execute("%load_ext modelship_lab")["status"] == "ok"
        cell = (
            "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n"
            "plt.bar([1, 2], [3, 4])\nprint('drawn')"
        )
        assert execute(f"%%mlship run pictures\n{cell}")["status"] == "ok"
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
    run = newest(lab)
    assert run.record.status == "finished"
    names = {one.name for one in run.artifacts()}
    assert {"figure-1.png", "figure-2.png"} <= names
    assert "figure-3.png" not in names
    with Image.open(io.BytesIO(run.artifact("figure-2.png"))) as picture:
        assert picture.width > 200
    assert run.artifact("output.txt") == b"drawn\n"
    views = [
        message["content"]["data"]
        for message in shown
        if message["msg_type"] in ("display_data", "update_display_data")
    ]
    assert any("application/vnd.jupyter.widget-view+json" in one for one in views)
    assert sum("image/png" in one for one in views) == 2
