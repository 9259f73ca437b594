"""How the lab's things look in a notebook.

Everything that comes from data is escaped: a sample's text must not run as a page.
"""

import base64
from collections.abc import Callable, Iterable
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from modelship_lab.records.base import medium_of

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from matplotlib.figure import Figure

    from modelship_lab.client import RunHandle
    from modelship_lab.client.comparison import RunComparison
    from modelship_lab.client.sweeps.report import SweepReport
    from modelship_lab.client.sweeps.sweep import Sweep
    from modelship_lab.commands.description import Description, Grid
    from modelship_lab.commands.results import Compared, Mislabeled, Predicted, Predictions, RunReport
    from modelship_lab.records.serving import Attribution

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

_LINE = "border-bottom:1px solid rgba(128,128,128,.25)"
_CELL = f"text-align:left;padding:2px 12px 2px 0;vertical-align:top;{_LINE}"
_BAR = "display:inline-block;height:.7em;border-radius:2px;background:#2a7de1;vertical-align:middle"
_MOST_PICTURES, _PICTURE_SIDE = 12, 96
_LONGEST_WORD = 32
_MOST_OVERLAID = 10
_MOST_ON_A_LINE, _PICTURE_POINTS = 500, 50_000
_FOR, _AGAINST = "27,127,92", "192,57,43"


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


def as_html(value: Any) -> str:
    """A thing that a verb returned, as HTML."""
    from modelship_lab.client.comparison import RunComparison
    from modelship_lab.client.sweeps.report import SweepReport
    from modelship_lab.commands.description import describe
    from modelship_lab.commands.results import Compared, Mislabeled, Predicted, Predictions, RunReport
    from modelship_lab.notebook.automatic_labels import audit_html, thresholds_html
    from modelship_lab.records.labeling import AuditReport, Thresholds

    if isinstance(value, Thresholds):
        return thresholds_html(value)
    if isinstance(value, AuditReport) and value.origins:
        return audit_html(value)
    if isinstance(value, Mislabeled) and value.image is not None:
        return _mislabeled_pictures(value)
    if isinstance(value, Predicted):
        return _predicted(value)
    if isinstance(value, Predictions):
        return _predictions(value)
    if isinstance(value, RunReport):
        return _run_report(value)
    if isinstance(value, (Compared, RunComparison)):
        return _comparison(value)
    if isinstance(value, SweepReport):
        return _sweep_report(value)
    return description_html(describe(value))


def as_text(value: Any) -> str:
    """A thing that a verb returned, on one line."""
    from modelship_lab.commands.description import describe

    described = describe(value)
    facts = ", ".join(f"{name}: {text}" for name, text in described.facts[:6])
    return f"{described.title} ({facts})" if facts else described.title


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


def run_bundle(lab_id: str, run_id: int, html: str) -> dict[str, Any]:
    """A run that has ended as a view that needs no kernel, and as HTML where nothing can draw that."""
    from modelship_lab.notebook.widgets import VIEW_TYPE

    shows = {"view": "run_chart", "lab_id": lab_id, "run_ids": [run_id]}
    return {VIEW_TYPE: shows, "text/html": html}


def _report_bundle(
    report: "RunReport", include: Any = None, exclude: Any = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    return run_bundle(report.lab_id, report.run.id, as_html(report)), {}


def _comparison(value: "Compared | RunComparison") -> str:
    from modelship_lab.commands.description import describe
    from modelship_lab.notebook import pictures

    described = describe(value)
    parts = [
        description_html(replace(described, grids=tuple(g for g in described.grids if g.title != "Code")))
    ]
    curves = pictures.overlaid(
        {run.id: run.metrics(max_points=300).series for run in value.runs[:_MOST_OVERLAID]}
    )
    if curves is not None:
        parts.insert(0, image_html(pictures.png(curves), "Curves of the runs"))
    if code := next((grid for grid in described.grids if grid.title == "Code"), None):
        text = escape("\n".join(line for (line,) in code.rows))
        parts.append(f"<pre style='overflow-x:auto;line-height:1.35'>{text}</pre>")
    return "".join(parts)


def _show_run(run: "RunHandle") -> None:
    from modelship_lab.notebook.run_display import show_run

    show_run(run)


def _show_sweep(sweep: "Sweep") -> None:
    from modelship_lab.notebook.run_display import show_sweep

    show_sweep(sweep)


def description_html(description: "Description") -> str:
    """A description as a title, facts in two columns, and tables."""
    parts = []
    if description.facts:
        rows = "".join(
            f"<tr style='background:none'><td style='text-align:left;padding:1px 12px 1px 0;opacity:.7'>"
            f"{escape(name)}</td><td style='text-align:left;padding:1px 0;overflow-wrap:anywhere'>"
            f"{escape(text)}</td></tr>"
            for name, text in description.facts
        )
        parts.append(f"<table style='margin:0;border:none'>{rows}</table>")
    parts += [grid_html(grid) for grid in description.grids if grid.rows]
    columns = "".join(f"<div style='max-width:100%'>{part}</div>" for part in parts)
    title = f"<div style='font-weight:600;margin:2px 0 4px'>{escape(description.title)}</div>"
    note = f"<div style='opacity:.7'>{escape(description.note)}</div>" if description.note else ""
    # Side by side where there is room.
    flow = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:4px 40px"
    return f"<div>{title}<div style='{flow}'>{columns}</div>{note}</div>"


def grid_html(grid: "Grid") -> str:
    """A grid as a table."""
    head = "".join(f"<th style='{_CELL}'>{escape(column)}</th>" for column in grid.columns)
    body = "".join(
        "<tr style='background:none'>"
        + "".join(f"<td style='{_style(cell)}'>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in grid.rows
    )
    title = f"<div style='opacity:.7;padding:1px 0'>{escape(grid.title)}</div>" if grid.title else ""
    return f"{title}<table style='margin:0'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _style(cell: str) -> str:
    # A name or a time stays on its line, a message does not.
    return f"{_CELL};white-space:nowrap" if len(cell) <= _LONGEST_WORD else _CELL


def progress_html(title: str, share: float, text: str) -> str:
    """A progress bar. `share` is 0 to 1."""
    width = f"{min(max(share, 0), 1):.0%}"
    return (
        f"<div>{escape(title)} <span style='display:inline-block;width:200px;background:rgba(128,128,128,.25);"
        f"border-radius:2px;line-height:0'><span style='{_BAR};width:{width}'></span></span> {escape(text)}</div>"
    )


def image_html(png: bytes, description: str) -> str:
    """A picture of two pixels for each point on screen, inside the page."""
    data = base64.b64encode(png).decode()
    return (
        f"<img alt='{escape(description)}' src='data:image/png;base64,{data}' "
        f"style='max-width:100%;zoom:.5;border-radius:4px;margin:4px 0'>"
    )


def run_summary_html(run: "RunHandle") -> str:
    """What stays under the cell of a training run: its figures, curves and evaluation."""
    from modelship_lab.commands.description import describe
    from modelship_lab.notebook import pictures

    record = run.refresh()
    parts = [description_html(replace(describe(record), grids=()))]
    curves = _training_curves(run)
    if curves is not None:
        parts.append(image_html(pictures.png(curves), f"Training curves of run {record.id}"))
    result = run.evaluation()
    if result is not None:
        picture = pictures.png(pictures.evaluation(result))
        parts.append(image_html(picture, f"Evaluation of run {record.id} on held-out rows"))
    return "".join(parts)


def _training_curves(run: "RunHandle") -> "Figure | None":
    from modelship_lab.notebook import pictures

    series = [one.name for one in run.metric_summaries()]
    names, left_out = pictures.drawn(series)
    if not names:
        return None
    # One metric can have a thousand series, one for each rank of a large training.
    most = _PICTURE_POINTS // sum(name in names for name in series)
    found = run.metrics(names, min(max(most, 2), _MOST_ON_A_LINE)).series
    return pictures.training(found, left_out)


def _run_report(report: "RunReport") -> str:
    from modelship_lab.commands.description import WORST_ERRORS, describe
    from modelship_lab.notebook import pictures

    described = describe(report)
    run = describe(report.run)
    parts = [description_html(run)]
    if report.evaluation is not None:
        picture = pictures.png(pictures.evaluation(report.evaluation))
        parts.append(image_html(picture, f"Evaluation of run {report.run.id} on held-out rows"))
    shown = _worst_pictures(report)
    parts += [
        shown if shown and grid.title == WORST_ERRORS else grid_html(grid)
        for grid in described.grids
        if grid not in run.grids
    ]
    return "".join(parts)


def _sweep_report(report: "SweepReport") -> str:
    from modelship_lab.commands.description import describe
    from modelship_lab.notebook import pictures

    course = report.course
    if not course:
        return description_html(describe(report))
    picture = pictures.png(pictures.sweep(course, report.metric))
    shown = image_html(picture, f"Best {report.metric} by trials of sweep {report.run.id}")
    return description_html(describe(report)) + shown


def _worst_pictures(report: "RunReport") -> str:
    """The worst errors as thumbnails, each over what it is and what it was taken for.

    Empty when the run's samples are no images, or none of them is there any more.
    """
    from modelship_lab.commands.description import WORST_ERRORS

    evaluation = report.evaluation
    if evaluation is None or medium_of(evaluation.task) != "image" or report.image is None:
        return ""
    # How far a number is off is no share.
    is_share = evaluation.kind != "number"
    captioned = (
        _Captioned(
            one.sample_id, one.preview, one.actual, one.predicted, f"{one.confidence:.0%}" if is_share else ""
        )
        for one in evaluation.worst[:_MOST_PICTURES]
    )
    return _pictures(WORST_ERRORS, captioned, report.image)


def _mislabeled_pictures(value: "Mislabeled") -> str:
    """Labels that may be wrong, the most doubtful ones as thumbnails over their label and the likely one."""
    from modelship_lab.commands.description import describe

    assert value.image is not None
    captioned = (
        _Captioned(row["sample_id"], row["preview"] or "", row["label"], row["likely"], "")
        for row in value.table.head(_MOST_PICTURES).iter_rows(named=True)
    )
    return description_html(describe(value)) + _pictures("", captioned, value.image)


class _Captioned(NamedTuple):
    sample_id: int
    image: str
    """Its content address."""
    said: str
    likely: str
    share: str


def _pictures(title: str, captioned: Iterable[_Captioned], image: Callable[[str], bytes]) -> str:
    """Images as thumbnails, each over what was said of it and what it may be.

    Empty when none of them is there any more.
    """
    from modelship_lab.notebook import pictures
    from modelship_lab.records.errors import LabError

    figures = []
    for one in captioned:
        try:
            data = base64.b64encode(pictures.thumbnail(image(one.image))).decode()
        except (LabError, OSError):
            # A picture that the lab has no more is not worth the whole report.
            continue
        figures.append(
            f"<figure style='margin:0;width:{_PICTURE_SIDE}px;font-size:90%;overflow-wrap:anywhere'>"
            f"<img alt='Sample {one.sample_id}' src='data:image/png;base64,{data}' style='width:100%;"
            f"aspect-ratio:1;object-fit:contain;image-rendering:pixelated;border-radius:4px'>"
            f"<figcaption>{escape(one.said)} → <b>{escape(one.likely)}</b> {one.share}"
            f"<br><span style='opacity:.7'>sample {one.sample_id}</span></figcaption></figure>"
        )
    if not figures:
        return ""
    head = f"<div style='opacity:.7;padding:1px 0'>{title}</div>" if title else ""
    return (
        f"{head}<div style='display:flex;flex-wrap:wrap;gap:8px 12px;margin:4px 0'>{''.join(figures)}</div>"
    )


def _predicted(predicted: "Predicted") -> str:
    from modelship_lab.commands.description import said

    prediction = predicted.prediction
    # Of a number there are none.
    shares = zip(predicted.classes, prediction.probabilities, strict=False)
    ranked = sorted(shares, key=lambda pair: -pair[1])
    rows = "".join(
        f"<tr style='background:none'><td style='text-align:left;padding:1px 12px 1px 0'>{escape(name)}</td>"
        f"<td style='text-align:left;padding:1px 8px 1px 0;width:200px'>"
        f"<span style='{_BAR};width:{max(share * 200, 1):.0f}px'></span></td>"
        f"<td style='text-align:right;padding:1px 0'>{share:.2%}</td></tr>"
        for name, share in ranked[:10]
    )
    origin = " · ".join(
        part
        for part in (predicted.deployment, prediction.model_version, f"{prediction.response_time_ms:.1f} ms")
        if part
    )
    explained = explanation_html(prediction.explanation, predicted.input) if prediction.explanation else ""
    return (
        f"<div><div style='font-weight:600;margin:2px 0 4px'>{escape(said(prediction))}"
        f" <span style='opacity:.6;font-weight:400'>{escape(origin)}</span></div>"
        f"<table style='margin:0'>{rows}</table>{explained}</div>"
    )


def _predictions(predictions: "Predictions") -> str:
    from modelship_lab.commands.description import describe

    explained = [
        explanation_html(one.prediction.explanation, one.input)
        for one in predictions
        if one.prediction.explanation is not None
    ]
    return description_html(describe(predictions)) + "".join(explained)


def explanation_html(attribution: "Attribution", asked: Any) -> str:
    """An explanation as a picture of its kind: highlighted text, regions of an image, bars of features."""
    if isinstance(asked, str):
        return highlighted(attribution, asked)
    from modelship_lab.notebook import pictures

    if isinstance(asked, (bytes, bytearray)):
        figure = pictures.regions(attribution, bytes(asked))
    else:
        figure = pictures.bars(attribution)
    return image_html(pictures.png(figure), f"What moved the probability of {attribution.label}")


def highlighted(attribution: "Attribution", text: str) -> str:
    """The text with each token on a green ground where it speaks for the class, red against it."""
    from modelship_lab.commands.description import moved

    strongest = max((abs(value) for value in attribution.values), default=0.0) or 1.0
    pieces = []
    for gap, token, value in _placed(attribution, text):
        color = _FOR if value > 0 else _AGAINST
        pieces.append(
            f"{escape(gap)}<span title='{value:+.4f}' style='background:rgba({color},{0.75 * abs(value) / strongest:.2f});"
            f"border-radius:3px;padding:1px 2px'>{escape(token)}</span>"
        )
    return (
        f"<div style='margin-top:6px;line-height:1.9;max-width:60em;white-space:pre-wrap'>{''.join(pieces)}</div>"
        f"<div style='opacity:.7;font-size:90%'>What moved {escape(moved(attribution))}: green for it, red against it "
        f"({escape(attribution.method)}).</div>"
    )


def _placed(attribution: "Attribution", text: str) -> list[tuple[str, str, float]]:
    """Each token as it stands in the text, with what stands before it and its value."""
    lowered = text.lower()
    if len(lowered) != len(text):
        # In a few scripts lowering changes the length, and places no longer agree.
        lowered = text
    place = 0
    placed = []
    for part, value in zip(attribution.parts, attribution.values, strict=True):
        found = lowered.find(part.lower(), place)
        if found < 0:
            placed.append((" ", part, value))
        else:
            placed.append((text[place:found], text[found : found + len(part)], value))
            place = found + len(part)
    return placed
