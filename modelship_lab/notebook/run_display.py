"""A training run under its cell: the live chart, and at the end a static summary that stays in the notebook."""

import threading
import uuid
from typing import TYPE_CHECKING

from IPython.display import HTML, display, update_display

if TYPE_CHECKING:
    from modelship_lab.client import RunHandle

_POLL_S = 0.5


def show_run(run: "RunHandle") -> None:
    """Show the live chart of a run, and its summary once it has ended."""
    from modelship_lab.notebook.widgets import RunChartWidget

    display(RunChartWidget(run.lab, run_ids=[run.id]))
    place = f"mlship-run-{run.id}-{uuid.uuid4().hex[:8]}"
    # A display of its own, which only the thread below changes: the widget's traits are never touched by it.
    display(HTML(""), display_id=place)
    threading.Thread(
        target=_leave_summary, args=(run, place), name=f"mlship-summary-{run.id}", daemon=True
    ).start()


def _leave_summary(run: "RunHandle", place: str) -> None:
    from modelship_lab.notebook.displays import run_summary_html
    from modelship_lab.records.errors import LabError

    while run.is_running:
        run.wait(_POLL_S)
    try:
        html = run_summary_html(run)
    except LabError as error:
        html = f"<p>Run {run.id} has ended; its summary could not be read: {error.code}</p>"
    update_display(HTML(html), display_id=place)
