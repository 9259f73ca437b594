"""How a notebook shows what the lab's verbs and its Python client return."""

from typing import TYPE_CHECKING, Any

from modelship_lab.notebook.rendering import as_html, as_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from modelship_lab.client import RunHandle
    from modelship_lab.client.comparison import RunComparison
    from modelship_lab.client.sweeps.sweep import Sweep
    from modelship_lab.commands.results import Compared, RunReport

_SHOWN = (
    ("modelship_lab.client.jobs", "JobHandle"),
    ("modelship_lab.client.projects", "ProjectHandle"),
    ("modelship_lab.client.snapshots", "SnapshotData"),
    ("modelship_lab.client.exchange.transfer", "Transfer"),
    ("modelship_lab.client.comparison", "RunComparison"),
    ("modelship_lab.commands.results", "Compared"),
    ("modelship_lab.client.sweeps.report", "SweepReport"),
    ("modelship_lab.commands.results", "ProjectProgress"),
    ("modelship_lab.commands.results", "ProjectQuality"),
    ("modelship_lab.commands.results", "ProjectSettings"),
    ("modelship_lab.commands.results", "Imported"),
    ("modelship_lab.commands.results", "Exported"),
    ("modelship_lab.client.labeling_functions", "Rules"),
    ("modelship_lab.commands.results", "Mislabeled"),
    ("modelship_lab.commands.results", "RunReport"),
    ("modelship_lab.commands.results", "Predicted"),
    ("modelship_lab.commands.results", "Predictions"),
    ("modelship_lab.commands.results", "DeploymentReport"),
    ("modelship_lab.commands.results", "Done"),
    ("modelship_lab.commands.results", "Identity"),
    ("modelship_lab.commands.results", "CreditReport"),
    ("modelship_lab.commands.results", "ToldOnce"),
    ("modelship_lab.learning.autolog.autolog", "Autologging"),
    ("modelship_lab.records.base", "Record"),
)
"""By name, so that nothing is imported before one of them is shown."""


def load(shell: "InteractiveShell") -> None:
    """Register the HTML of everything that a verb returns."""
    formatter = shell.display_formatter
    if formatter is None:
        return
    for module, name in _SHOWN:
        formatter.formatters["text/html"].for_type_by_name(module, name, as_html)
        formatter.formatters["text/plain"].for_type_by_name(module, name, _as_plain)
    for module, name in (
        ("modelship_lab.client.comparison", "RunComparison"),
        ("modelship_lab.commands.results", "Compared"),
    ):
        formatter.mimebundle_formatter.for_type_by_name(module, name, _comparison_bundle)
    formatter.mimebundle_formatter.for_type_by_name(
        "modelship_lab.commands.results", "RunReport", _report_bundle
    )
    # A run that goes on is shown as its chart, a sweep as its trials.
    shown = formatter.ipython_display_formatter
    shown.for_type_by_name("modelship_lab.client.runs", "RunHandle", _show_run)
    shown.for_type_by_name("modelship_lab.client.sweeps.sweep", "Sweep", _show_sweep)


def _as_plain(value: Any, printer: Any, cycle: bool) -> None:
    printer.text(as_text(value))


def _comparison_bundle(
    value: "Compared | RunComparison", include: Any = None, exclude: Any = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Runs side by side as a view, which leaves their tables and curves where nothing can draw it."""
    from modelship_lab.notebook.widgets import ComparisonWidget

    tab = "code" if getattr(value, "code", None) and not callable(value.code) else "curves"
    widget = ComparisonWidget(
        value.lab, run_ids=[run.id for run in value.runs], tab=tab, still=as_html(value)
    )
    return widget._repr_mimebundle_(include=include, exclude=exclude)


def _report_bundle(
    report: "RunReport", include: Any = None, exclude: Any = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    from modelship_lab.notebook.run_display import run_bundle

    return run_bundle(report.lab_id, report.run.id, as_html(report)), {}


def _show_run(run: "RunHandle") -> None:
    from modelship_lab.notebook.run_display import show_run

    show_run(run)


def _show_sweep(sweep: "Sweep") -> None:
    from modelship_lab.notebook.run_display import show_sweep

    show_sweep(sweep)
