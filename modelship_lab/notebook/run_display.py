"""A training run under its cell: the live chart, and from its end on a summary that stays in the notebook."""

import threading
from typing import TYPE_CHECKING

from IPython.core.getipython import get_ipython
from IPython.display import display

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

    from modelship_lab.client import RunHandle
    from modelship_lab.notebook.widgets import RunChartWidget

_POLL_S = 0.5

_shown: dict[int, int] = {}
"""The number of the cell under which a run was shown last."""


def show_run(run: "RunHandle") -> None:
    """Show a run, unless the present cell does so already: while it goes on, as a live chart."""
    shell = get_ipython()
    cell = shell.execution_count if shell is not None else 0
    if _shown.get(run.id) == cell:
        return
    _shown[run.id] = cell
    if not run.is_running:
        _show_summary(run)
        return
    from modelship_lab.notebook.widgets import RunChartWidget

    chart = RunChartWidget(run.lab, run_ids=[run.id])
    place = display(chart, display_id=True)
    if place is not None:
        threading.Thread(
            target=_leave_summary, args=(run, chart, place), name=f"mlship-summary-{run.id}", daemon=True
        ).start()


def _show_summary(run: "RunHandle") -> None:
    from modelship_lab.notebook.displays import as_html, as_text

    display({"text/html": as_html(run), "text/plain": as_text(run)}, raw=True)


def _leave_summary(run: "RunHandle", chart: "RunChartWidget", place: "DisplayHandle") -> None:
    """Put the summary where the chart was; JupyterLab goes on to draw the chart, which needs no kernel for it."""
    from modelship_lab.notebook.displays import as_text, run_summary_html
    from modelship_lab.notebook.widgets import VIEW_TYPE
    from modelship_lab.records.errors import LabError

    while run.is_running:
        run.wait(_POLL_S)
    try:
        html = run_summary_html(run)
    except LabError as error:
        html = f"<p>Run {run.id} has ended; its summary could not be read: {error.code}</p>"
    place.update({VIEW_TYPE: chart.shows, "text/html": html, "text/plain": as_text(run)}, raw=True)
