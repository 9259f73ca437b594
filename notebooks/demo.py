"""Run the quickstart against a lab server, without a browser, and say what came out of it.

    python notebooks/demo.py --home .demo

Every figure of the summary is asked from the lab server after the notebook has run.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from rich.console import Console
from rich.table import Table

import modelship_lab
from modelship_lab.client import Lab, ProjectHandle
from modelship_lab.records.registry import ModelVersion
from modelship_lab.records.serving import Deployment

NOTEBOOK = Path(__file__).parent / "quickstart.ipynb"
CELL_TIMEOUT_S = 300
PREDICTIONS = 100
"""Of each deployment, so that there is a latency to report."""

console = Console(width=120)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path(".demo"), help="data directory of the lab")
    home = parser.parse_args().home.resolve()
    # The kernel of the notebook inherits this and so finds the same lab server.
    os.environ["MLSHIP_HOME"] = str(home)
    lab = modelship_lab.connect()
    console.print(f"Lab server at [bold]{lab.url}[/], data in {home}", highlight=False)
    started = time.monotonic()
    if not execute(home / "quickstart.ipynb"):
        return 1
    summarize(lab, time.monotonic() - started)
    console.print(
        f"\nThe executed notebook is {home / 'quickstart.ipynb'}; the API is at {lab.url}mlship/docs.\n"
        f"[bold]make lab[/] opens JupyterLab on the same data. The lab server and its deployments go on running "
        f"until [bold]make stop[/].",
        highlight=False,
    )
    return 0


def execute(output: Path) -> bool:
    """Execute the notebook, show each cell as it begins, and keep the result."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]

    def announce(cell: nbformat.NotebookNode, cell_index: int) -> None:
        if cell.cell_type == "code":
            first = cell.source.strip().splitlines()[0]
            console.print(f"[{cells.index(cell_index) + 1}/{len(cells)}] {first}", style="dim", markup=False)

    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        # The kernel's warning about its transport is not the demo's subject.
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        on_cell_start=announce,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        console.print(f"The notebook failed:\n{error}", style="red", markup=False)
        return False
    finally:
        nbformat.write(notebook, output)
    return True


def summarize(lab: Lab, seconds: float) -> None:
    """Print what the lab now holds."""
    table = Table(title=f"The whole loop in {seconds:.0f} s", title_justify="left")
    for name in ("project", "samples", "labels", "held-out accuracy", "ONNX parity", "deployment", "p50"):
        figure = name in ("samples", "labels", "held-out accuracy", "p50")
        table.add_column(name, justify="right" if figure else "left")
    newest: dict[int | None, ModelVersion] = {}
    for version in lab.model_versions():
        if version.project_id not in newest or version.id > newest[version.project_id].id:
            newest[version.project_id] = version
    deployments = {deployment.model.rpartition("/")[0]: deployment for deployment in lab.deployments()}
    shipments = [
        (project, version, deployments[version.model])
        for project in lab.projects()
        if (version := newest.get(project.record.id)) is not None and version.model in deployments
    ]
    predictions = [predict(lab, project, deployment) for project, _, deployment in shipments]
    time.sleep(1.5)  # latencies are those of whole seconds
    for project, shipped, deployment in shipments:
        progress = project.progress()
        parity = shipped.manifest["parity"]
        window = lab.deployment_metrics(deployment.name, window_s=3600).total
        table.add_row(
            project.record.name,
            f"{progress.total:,}",
            f"{progress.labeled:,}",
            f"{shipped.metrics['test_accuracy']:.3f}",
            f"{parity['rows']} rows, max difference {parity['max_difference']:.0e}, {parity['label_flips']} flips",
            deployment.address or "",
            f"{window.p50_ms:.2f} ms" if window.p50_ms is not None else "",
        )
    console.print(table)
    for line in predictions:
        console.print(line, highlight=False, markup=False)


def predict(lab: Lab, project: ProjectHandle, deployment: Deployment) -> str:
    """Predict the project's first sample and say why the model thinks so."""
    sample = project.sample(project.samples(limit=1)["id"][0])
    value = lab.request("GET", f"blobs/{sample.image}").content if sample.image else sample.text or sample.row
    for _ in range(PREDICTIONS):
        lab.predict(deployment.name, value)
    prediction = lab.predict(deployment.name, value, explain=True)
    explanation = prediction.explanation
    assert explanation is not None
    parts = sorted(zip(explanation.parts, explanation.values, strict=True), key=lambda part: -abs(part[1]))
    reasons = ", ".join(f"{name!r} {share:+.3f}" for name, share in parts[:4])
    return f"{deployment.name}: {prediction.prediction} ({prediction.confidence:.1%}) because of {reasons}"


if __name__ == "__main__":
    sys.exit(main())
