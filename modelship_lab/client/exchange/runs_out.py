"""Runs of the lab out to other systems."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelship_lab.client.exchange.mlflow_out import export_to_server
from modelship_lab.client.exchange.parquet_out import export_to_folder
from modelship_lab.client.exchange.transfer import OnMoved, Tally, Transfer, silent
from modelship_lab.client.runs import RunHandle

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab


def export_runs(
    lab: "Lab",
    target: str,
    project: str | int | None = None,
    runs: Iterable[int | RunHandle] | None = None,
    on_moved: OnMoved = silent,
) -> Transfer:
    """Export runs to a folder or a tracking server; see `Lab.export_runs`."""
    tally = Tally()
    chosen = _chosen(lab, project, runs)
    if target.startswith(("http://", "https://")):
        export_to_server(lab, target, chosen, tally, on_moved)
    else:
        export_to_folder(lab, Path(target).expanduser(), chosen, tally, on_moved)
    return tally.transfer(lab.url, target)


def _chosen(
    lab: "Lab", project: str | int | None, runs: Iterable[int | RunHandle] | None
) -> Iterator[RunHandle]:
    """The runs as they are now, the oldest first."""
    if runs is not None:
        for run in runs:
            handle = run if isinstance(run, RunHandle) else lab.run(run)
            handle.refresh()
            yield handle
        return
    for record in reversed(lab.run_records(project)):
        yield RunHandle(lab, record)
