"""A run or sweep under its cell: the live view, and from its end on a summary that stays in the notebook."""

import threading
from typing import TYPE_CHECKING

from IPython.core.getipython import get_ipython
from IPython.display import display

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.display import DisplayHandle

    from modelship_lab.client import RunHandle
    from modelship_lab.client.sweeps.sweep import Sweep
    from modelship_lab.notebook.widgets import LabWidget

_POLL_S = 0.5

_shown: dict[int, int] = {}
"""The number of the cell under which a run was shown last."""


def show_run(run: "RunHandle") -> None:
    """Show a run, unless the present cell does so already: while it goes on, as a live chart."""
    from modelship_lab.notebook.displays import as_html, run_summary_html
    from modelship_lab.notebook.widgets import RunChartWidget

    _show(run, lambda: RunChartWidget(run.lab, run_ids=[run.id]), as_html, run_summary_html)


def show_sweep(sweep: "Sweep") -> None:
    """Show a sweep, unless the present cell does so already: while it goes on, its trials as they end."""
    from modelship_lab.notebook.displays import as_html
    from modelship_lab.notebook.widgets import SweepWidget

    def summary(run: "RunHandle") -> str:
        return as_html(sweep.report())

    _show(sweep.run, lambda: SweepWidget(sweep.lab, run_id=sweep.id), summary, summary)


def _show(
    run: "RunHandle",
    live: "Callable[[], LabWidget]",
    ended: "Callable[[RunHandle], str]",
    summary: "Callable[[RunHandle], str]",
) -> None:
    """Show a run by one of three: the view of one that goes on, HTML of one that has ended, HTML that stays."""
    from modelship_lab.notebook.displays import as_text

    shell = get_ipython()
    cell = shell.execution_count if shell is not None else 0
    if _shown.get(run.id) == cell:
        return
    _shown[run.id] = cell
    if not run.is_running:
        display({"text/html": ended(run), "text/plain": as_text(run)}, raw=True)
        return
    widget = live()
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
    from modelship_lab.notebook.displays import as_text
    from modelship_lab.notebook.widgets import VIEW_TYPE
    from modelship_lab.records.errors import LabError

    while run.is_running:
        run.wait(_POLL_S)
    try:
        html = summary(run)
    except LabError as error:
        html = f"<p>Run {run.id} has ended; its summary could not be read: {error.code}</p>"
    place.update({VIEW_TYPE: widget.shows, "text/html": html, "text/plain": as_text(run)}, raw=True)
