"""A run or sweep under its cell: the live view, and from its end on a summary that stays in the notebook."""

import threading
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from IPython.display import display

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.display import DisplayHandle

    from modelship_lab.client import JobHandle, RunHandle
    from modelship_lab.client.sweeps.sweep import Sweep
    from modelship_lab.notebook.widgets import LabWidget

_POLL_S = 0.5
_LOOK_AT_JOB_S = 1.0

_shown: dict[int, int] = {}
"""The number of the cell under which a run was shown last."""


def show_run(run: "RunHandle") -> None:
    """Show a run, unless the present cell does so already; a sweep's as its trials."""
    from modelship_lab.client.sweeps import report
    from modelship_lab.client.sweeps.sweep import Sweep
    from modelship_lab.notebook.rendering import as_html
    from modelship_lab.notebook.run_html import run_summary_html

    if report.is_sweep(run.record):
        show_sweep(Sweep(run.lab, run))
    else:
        _show(run, as_html, run_summary_html)


def show_sweep(sweep: "Sweep") -> None:
    """Show a sweep, unless the present cell does so already: its trials, as they end while it goes on."""
    from modelship_lab.notebook.rendering import as_html

    def summary(run: "RunHandle") -> str:
        return as_html(sweep.report())

    _show(sweep.run, summary, summary)


def show_job(job: "JobHandle") -> None:
    """Show a background job: how far it is, in words that change until it has ended, and its run's chart."""
    from modelship_lab.notebook.rendering import as_html, as_text

    place = display({"text/html": _job_html(job), "text/plain": as_text(job)}, raw=True, display_id=True)
    if job.record.kind == "training":
        show_run(job.run)

    def follow() -> None:
        from modelship_lab.records.errors import LabError

        told = ""
        try:
            while job.is_going_on:
                job.wait(_LOOK_AT_JOB_S)
                if place is not None and job.is_going_on and (html := _job_html(job)) != told:
                    told = html
                    place.update({"text/html": html, "text/plain": as_text(job)}, raw=True)
        except LabError:
            # What is shown stays: the server says more when it is back.
            return
        if place is not None:
            place.update({"text/html": as_html(job), "text/plain": as_text(job)}, raw=True)

    threading.Thread(target=follow, name=f"mlship-job-{job.id}", daemon=True).start()


def _job_html(job: "JobHandle") -> str:
    from modelship_lab.client.jobs import state
    from modelship_lab.notebook.markup import progress_html

    return progress_html(f"Job {job.id}", job.record.progress, state(job.record))


def _show(
    run: "RunHandle", ended: "Callable[[RunHandle], str]", summary: "Callable[[RunHandle], str]"
) -> None:
    """Show a run by its view.

    Args:
        ended: HTML that stands in its place where nothing can draw it, of a run that has ended.
        summary: HTML that stays of one that goes on, once it has ended.
    """
    from modelship_lab.notebook.rendering import as_text
    from modelship_lab.notebook.widgets import RunChartWidget

    shell = get_ipython()
    cell = shell.execution_count if shell is not None else 0
    if _shown.get(run.id) == cell:
        return
    _shown[run.id] = cell
    if not run.is_running:
        display({**run_bundle(run.lab.info.lab_id, run.id, ended(run)), "text/plain": as_text(run)}, raw=True)
        return
    widget = RunChartWidget(run.lab, run_ids=[run.id])
    place = display(widget, display_id=True)
    if place is not None:
        threading.Thread(
            target=_leave_summary,
            args=(run, widget, place, summary),
            name=f"mlship-summary-{run.id}",
            daemon=True,
        ).start()


def _leave_summary(
    run: "RunHandle", widget: "LabWidget", place: "DisplayHandle", summary: "Callable[[RunHandle], str]"
) -> None:
    """Put the summary where the view was; JupyterLab goes on to draw the view, which needs no kernel for it."""
    from modelship_lab.notebook.rendering import as_text
    from modelship_lab.notebook.widgets import VIEW_TYPE
    from modelship_lab.records.errors import LabError

    while run.is_running:
        run.wait(_POLL_S)
    try:
        html = summary(run)
    except LabError as error:
        html = f"<p>Run {run.id} has ended; its summary could not be read: {error.code}</p>"
    place.update({VIEW_TYPE: widget.shows, "text/html": html, "text/plain": as_text(run)}, raw=True)


def run_bundle(lab_id: str, run_id: int, html: str) -> dict[str, Any]:
    """A run that has ended as a view that needs no kernel, and as HTML where nothing can draw that."""
    from modelship_lab.notebook.widgets import VIEW_TYPE

    shows = {"view": "run_chart", "lab_id": lab_id, "run_ids": [run_id]}
    return {VIEW_TYPE: shows, "text/html": html}
