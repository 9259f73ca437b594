"""What stays in a notebook of runs: their figures, curves and evaluations, their comparison, a sweep, doubtful labels."""

import base64
from collections.abc import Callable, Iterable
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from modelship_lab.notebook.markup import description_html, grid_html, image_html
from modelship_lab.records.base import medium_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from modelship_lab.client import RunHandle
    from modelship_lab.client.comparison import RunComparison
    from modelship_lab.client.sweeps.report import SweepReport
    from modelship_lab.commands.results import Compared, Mislabeled, RunReport

_MOST_PICTURES, _PICTURE_SIDE = 12, 96
_MOST_OVERLAID = 10
_MOST_ON_A_LINE, _PICTURE_POINTS = 500, 50_000


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


def report_html(report: "RunReport") -> str:
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


def comparison_html(value: "Compared | RunComparison") -> str:
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


def sweep_html(report: "SweepReport") -> str:
    from modelship_lab.commands.description import describe
    from modelship_lab.notebook import pictures

    course = report.course
    if not course:
        return description_html(describe(report))
    picture = pictures.png(pictures.sweep(course, report.metric))
    shown = image_html(picture, f"Best {report.metric} by trials of sweep {report.run.id}")
    return description_html(describe(report)) + shown


def mislabeled_html(value: "Mislabeled") -> str:
    """Labels that may be wrong, the most doubtful ones as thumbnails over their label and the likely one."""
    from modelship_lab.commands.description import describe

    assert value.image is not None
    captioned = (
        _Captioned(row["sample_id"], row["preview"] or "", row["label"], row["likely"], "")
        for row in value.table.head(_MOST_PICTURES).iter_rows(named=True)
    )
    return description_html(describe(value)) + _pictures("", captioned, value.image)


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
