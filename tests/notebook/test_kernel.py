"""The magics in a real kernel."""

import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import polars as pl
import pytest
from jupyter_client.manager import KernelManager, start_new_kernel
from nbclient import NotebookClient

import modelship_lab
from modelship_lab import client

NOTEBOOKS = Path("notebooks")


@pytest.fixture
def lab(start_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[client.Lab]:
    """A lab of its own, which the kernel finds as a user's kernel does."""
    start_server(tmp_path)
    monkeypatch.setenv("MLSHIP_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    connected = modelship_lab.connect()
    yield connected
    connected.close()


def execute(name: str, times: int = 1) -> list[nbformat.NotebookNode]:
    """A notebook as it is after each of some runs of all its cells in one kernel."""
    manager, kernel = start_new_kernel(kernel_name="python3", cwd=str(NOTEBOOKS))
    kernel.stop_channels()
    try:
        notebooks = [nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4) for _ in range(times)]
        for notebook in notebooks:
            NotebookClient(notebook, km=manager, timeout=170).execute()
    finally:
        manager.shutdown_kernel(now=True)
    return notebooks


def texts(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(str(output.get("data", output.get("text", ""))) for output in outputs)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_quickstart_runs_twice_on_the_same_lab(lab: client.Lab) -> None:
    shown, again = map(texts, execute("quickstart", times=2))
    assert "2,982 samples added" in shown
    assert "1,797 samples added" in shown
    assert lab.project("reviews").progress().labeled == 1000
    accuracy = {
        model: lab.model_version(model, 1).metrics["test_accuracy"]
        for model in ("review-sentiment", "digit-reader", "cell-diagnosis")
    }
    assert accuracy["review-sentiment"] > 0.7
    assert accuracy["digit-reader"] > 0.95
    assert accuracy["cell-diagnosis"] > 0.9
    assert {one.name: one.status for one in lab.deployments()} == dict.fromkeys(
        ("reviews-api", "digits-api", "cells-api"), "ready"
    )
    assert lab.connection._address.token not in shown
    assert "0 samples added" in again
    assert lab.deployment("digits-api").model == "digit-reader/2"
    for deployment in lab.deployments():
        lab.undeploy(deployment.id)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_notebook_of_labeling_asks_measures_and_takes_along(lab: client.Lab) -> None:
    (shown,) = map(texts, execute("labeling"))
    opinions = lab.project("opinions")
    assert "labeled differently" in shown
    quality = opinions.quality()
    assert quality.samples > 20
    assert quality.krippendorff_alpha is not None
    assert len(quality.labelers) == 2
    assert max(one.gold.total for one in quality.labelers) > 0
    audited = opinions.audit_report().origins[0]
    assert (audited.labels, audited.audited) == (0, 60), "audited, and then revoked"
    assert opinions.queue(limit=1).waiting.get("error", 0) == 0
    first, second = reversed(opinions.snapshots())
    assert lab.diff(first.id, second.id).moved == 0
    assert (NOTEBOOKS / "output" / "digits-coco.zip").stat().st_size > 1000
    assert lab.project("mentions").progress().by_class == {"food": 1, "person": 0}


@pytest.mark.slow
def test_the_notebook_of_tracking_keeps_what_it_tells_of(lab: client.Lab) -> None:
    execute("tracking")
    records = lab.run_records("tracking")
    assert {run.status for run in records} == {"finished"}
    by_name = {run.name: run for run in records}
    contexts = {series.context["subset"] for series in lab.run(by_name["digits"].id).metrics(["loss"]).series}
    assert contexts == {"train", "val"}
    assert by_name["forest"].children == 4
    assert by_name["support vectors"].params
    assert lab.run(by_name["own module"].id).metrics(["train_loss"]).series
    for name, trials in (("digits grid", 6), ("digits tpe", 8)):
        report = lab.load_sweep(by_name[name].id).report()
        assert report.statuses == {"finished": trials}
        assert report.value(report.best) > 0.9


@pytest.mark.slow
def test_the_notebook_of_training_runs_recipes_and_a_module_of_ones_own(lab: client.Lab) -> None:
    execute("training")
    runs = {run.name: run for project in ("sentences", "cells") for run in lab.run_records(project)}
    assert {name: run.status for name, run in runs.items()} == dict.fromkeys(
        ("words", "meaning", "own"), "finished"
    )
    assert runs["meaning"].summary["test_accuracy"] > 0.7
    assert runs["own"].summary["test_accuracy"] > 0.85
    assert runs["own"].summary["epochs"] == 8


@pytest.mark.slow
def test_an_interrupt_ends_training_cleanly_with_a_checkpoint(lab: client.Lab) -> None:
    project = lab.new_project("interrupted", "text_classification", ["negative", "positive"])
    project.import_frame(pl.read_csv("notebooks/data/reviews.csv"), text="text", label="label")
    manager: KernelManager
    manager, kernel = start_new_kernel(kernel_name="python3")
    try:
        kernel.execute_interactive("%load_ext modelship_lab", timeout=60)
        kernel.execute(
            "run = %mlship train interrupted --epochs 10000 --set patience=0 --set batch_size=8 --wait"
        )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not steps(lab):
            time.sleep(0.2)
        manager.interrupt_kernel()
        answer = kernel.get_shell_msg(timeout=90)
        assert answer["content"]["status"] == "ok"
        run = lab.run(lab.run_records(limit=1)[0].id)
        assert run.record.status == "stopped"
        assert "checkpoint.ckpt" in [artifact.name for artifact in run.artifacts()]
        # The kernel is alive, and so is the lab.
        reply = kernel.execute_interactive("assert run.record.status == 'stopped'", timeout=30)
        assert reply["content"]["status"] == "ok"
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)


def steps(lab: client.Lab) -> bool:
    runs = lab.run_records(limit=1)
    return bool(runs) and bool(lab.run(runs[0].id).metrics().series)
