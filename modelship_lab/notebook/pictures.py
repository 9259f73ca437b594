"""Pictures of evaluations, explanations and training curves, drawn with matplotlib.

Figures are made without pyplot: it keeps every figure alive, and these are drawn from threads, too.
"""

import io
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from modelship_lab.records.evaluation import Calibration, Evaluation
from modelship_lab.records.metrics import Series
from modelship_lab.records.serving import Attribution

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOR, AGAINST, NEUTRAL = "#1b7f5c", "#c0392b", "#7f8c8d"
"""Colors of what speaks for a class, against it, and of what says nothing."""

_DOTS_PER_INCH = 144
_THUMBNAIL = 96
_MOST_NAMED = 20
_MOST_CURVES = 10
_MOST_BARS = 15
_MOST_PANELS, _PANELS_A_ROW = 6, 2
_EDGES = {"nan": (0.02, "x"), "inf": (0.98, "^"), "-inf": (0.02, "v")}
"""Where values that are no number stand, as a share of the height, and their symbols."""
_MOST_SHARED = 3
_JUDGED_BY = ("loss", "accuracy", "f1", "auc", "score", "error")


def png(figure: Figure) -> bytes:
    """The figure as a PNG with two pixels for each point on screen.

    Its colors are reduced to 256, which nobody sees in a diagram and which makes notebooks a third as large.
    """
    from PIL import Image

    drawn, file = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DOTS_PER_INCH, bbox_inches="tight", facecolor="white")
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, format="png", optimize=True)
    return file.getvalue()


def thumbnail(image: bytes) -> bytes:
    """A small PNG of an encoded image: at most 96 pixels a side and 256 colors.

    Raises:
        OSError: it is no image.
    """
    from PIL import Image

    file = io.BytesIO()
    with Image.open(io.BytesIO(image)) as opened:
        small = opened.convert("RGB")
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        small.quantize(256).save(file, format="png", optimize=True)
    return file.getvalue()


def evaluation(result: Evaluation) -> Figure:
    """What there is of it side by side: confusion matrix, precision-recall and ROC curves, calibration, baselines.

    Of numbers the predicted ones over the actual ones and by how much they are off, in place of matrix and curves.
    """
    parts: list[Callable[[Axes], None]] = []
    if result.confusion:
        parts.append(lambda axes: confusion_matrix(axes, result))
    if result.pairs:
        parts.append(lambda axes: predicted_numbers(axes, result.pairs))
        parts.append(lambda axes: residuals(axes, result.pairs))
    elif result.precision_recall or result.roc or not result.baselines:
        parts.append(
            lambda axes: curves(axes, result.precision_recall, "Precision and recall", "recall", "precision")
        )
        parts.append(
            lambda axes: curves(
                axes, result.roc, "ROC", "false positive rate", "true positive rate", diagonal=True
            )
        )
    if (found := result.calibration) is not None:
        parts.append(lambda axes: calibration(axes, found))
    if result.baselines:
        parts.append(lambda axes: baselines(axes, result))
    figure = Figure(figsize=(13 / 3 * len(parts), 4.2), layout="constrained")
    for axes, draw in zip(np.atleast_1d(figure.subplots(1, len(parts))), parts, strict=True):
        draw(axes)
    return figure


def calibration(axes: Axes, found: Calibration) -> None:
    """Draw how often the model is right by how sure it is; on the diagonal it is as often right as it says."""
    axes.plot([0, 1], [0, 1], color=NEUTRAL, linewidth=0.8, linestyle="--")
    sizes = 20 + 80 * np.array(found.rows) / max(found.rows)
    axes.plot(found.confidence, found.accuracy, linewidth=1.4)
    axes.scatter(found.confidence, found.accuracy, s=sizes)
    low = max(0.0, min(*found.confidence, *found.accuracy) - 0.05)
    axes.set(
        title=f"Calibration (error {found.error:.3f})",
        xlabel="confidence",
        ylabel="share that is right",
        xlim=(low, 1.02),
        ylim=(low, 1.02),
    )
    axes.grid(alpha=0.25)


def predicted_numbers(axes: Axes, pairs: Sequence[tuple[float, float]]) -> None:
    """Draw predicted over actual numbers; on the diagonal they are the same."""
    actual, predicted = np.array(pairs).T
    ends = [min(actual.min(), predicted.min()), max(actual.max(), predicted.max())]
    axes.plot(ends, ends, color=NEUTRAL, linewidth=0.8, linestyle="--")
    axes.scatter(actual, predicted, s=12, alpha=0.5)
    axes.set(title="Predicted and actual", xlabel="actual", ylabel="predicted")
    axes.grid(alpha=0.25)


def residuals(axes: Axes, pairs: Sequence[tuple[float, float]]) -> None:
    """Draw by how much each number is off over what was predicted: a good model leaves no pattern."""
    actual, predicted = np.array(pairs).T
    axes.axhline(0, color=NEUTRAL, linewidth=0.8, linestyle="--")
    axes.scatter(predicted, actual - predicted, s=12, alpha=0.5)
    axes.set(title="Residuals", xlabel="predicted", ylabel="actual less predicted")
    axes.grid(alpha=0.25)


def baselines(axes: Axes, result: Evaluation) -> None:
    """Draw what this model and simpler ones reach on the same rows."""
    is_number = result.kind == "number"
    names = ["this model", *(one.name for one in result.baselines)]
    mine = result.mae if is_number else result.accuracy
    scores = [mine, *(one.mae if is_number else one.accuracy for one in result.baselines)]
    heights = [score or 0.0 for score in scores]
    bars = axes.bar(range(len(names)), heights, color=["C0", *[NEUTRAL] * len(result.baselines)], width=0.6)
    axes.bar_label(bars, [f"{height:.3g}" for height in heights])
    axes.set_xticks(range(len(names)), [textwrap.fill(name, 16) for name in names])
    axes.set(title="Mean absolute error" if is_number else "Accuracy on the same rows")
    axes.margins(y=0.12)


def confusion_matrix(axes: Axes, result: Evaluation) -> None:
    """Draw how often each actual class was predicted as which; colors are shares of the actual class."""
    counts = np.array(result.confusion, dtype=float).reshape(len(result.classes), len(result.classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(title="Confusion matrix", xlabel="predicted", ylabel="actual")
    if len(result.classes) > _MOST_NAMED:
        return
    names = [name if len(name) <= 14 else name[:13] + "…" for name in result.classes]
    turned = max(map(len, names)) > 3 and len(names) > 3
    axes.set_xticks(
        range(len(names)), names, rotation=45 if turned else 0, ha="right" if turned else "center"
    )
    axes.set_yticks(range(len(names)), names)
    size = 11 if len(names) <= 5 else 8
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            color = "white" if shares[row, column] > 0.5 else "black"
            text = f"{int(counts[row, column])}"
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=size)


def curves(axes: Axes, drawn: Sequence[Any], title: str, x: str, y: str, *, diagonal: bool = False) -> None:
    """Draw one curve for each class; of many classes, those with the smallest area."""
    chosen = (
        sorted(drawn, key=lambda curve: curve.area)[:_MOST_CURVES] if len(drawn) > _MOST_CURVES else drawn
    )
    if diagonal:
        axes.plot([0, 1], [0, 1], color=NEUTRAL, linewidth=0.8, linestyle="--")
    for curve in chosen:
        axes.plot(curve.x, curve.y, label=f"{curve.label} ({curve.area:.3f})", linewidth=1.4)
    shown = f" ({len(chosen)} weakest of {len(drawn)} classes)" if len(chosen) < len(drawn) else ""
    axes.set(title=title + shown, xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.grid(alpha=0.25)
    if chosen:
        axes.legend(title="class (area)", fontsize=8, title_fontsize=8)


def drawn(names: Iterable[str]) -> tuple[list[str], int]:
    """Which of a run's metrics `training` draws, and for how many others it has no room."""
    panels: dict[str, list[str]] = {"Loss": [], "Score": []}
    for name in dict.fromkeys(names):
        if (title := _panel(name)) is not None:
            panels.setdefault(title, []).append(name)
    filled = [group for group in panels.values() if group]
    chosen = [name for group in filled[:_MOST_PANELS] for name in group[:_MOST_CURVES]]
    return chosen, sum(map(len, filled)) - len(chosen)


def _panel(name: str) -> str | None:
    """The title of the panel that a metric is drawn in: losses together, scores together."""
    if name.endswith("loss"):
        return "Loss"
    if name.endswith(("accuracy", "f1")):
        return "Score"
    return None if name == "epoch" or name.startswith("system/") else name


def training(series: Iterable[Series], left_out: int = 0) -> Figure | None:
    """What a run logged: losses together, scores together, then its other metrics; None when there is nothing.

    Values that are no number are marked at the bottom, infinities at the edge that they go to.

    Args:
        series: of the metrics that `drawn` has chosen.
        left_out: how many others there are.
    """
    panels: dict[str, list[Series]] = {"Loss": [], "Score": []}
    for one in series:
        if (title := _panel(one.name)) is not None:
            panels.setdefault(title, []).append(one)
    shown = [(title, group) for title, group in panels.items() if group]
    if not shown:
        return None
    columns = min(len(shown), _PANELS_A_ROW)
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(5.2 * columns, 3 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (title, group) in zip(places, shown, strict=False):
        _draw(axes, title, [(one.label, one, None) for one in group])
    for axes in places[len(shown) :]:
        axes.set_axis_off()
    if left_out:
        figure.supxlabel(f"{left_out} other metrics are in the lab", fontsize=8, color=NEUTRAL)
    return figure


def overlaid(runs: Mapping[int, Iterable[Series]]) -> Figure | None:
    """A panel for each metric that at least two runs have, with a line for each; None when there is no such metric.

    Args:
        runs: the series of each run by its id.
    """
    panels: dict[str, list[tuple[int, Series]]] = {}
    for run_id, series in runs.items():
        for one in series:
            panels.setdefault(one.label, []).append((run_id, one))
    shared = {label: lines for label, lines in panels.items() if len(lines) > 1 and label != "epoch"}
    if not shared:
        return None
    # What runs are judged by first.
    order = sorted(shared, key=lambda label: (not label.split("{")[0].endswith(_JUDGED_BY), label))[
        :_MOST_SHARED
    ]
    colors = {run_id: f"C{place}" for place, run_id in enumerate(runs)}
    figure = Figure(figsize=(4.6 * len(order), 3), layout="constrained")
    for axes, label in zip(np.atleast_1d(figure.subplots(1, len(order))), order, strict=True):
        _draw(axes, label, [(f"run {run_id}", one, colors[run_id]) for run_id, one in shared[label]])
    return figure


def _draw(axes: Axes, title: str, lines: Sequence[tuple[str, Series, str | None]]) -> None:
    """Draw series, each with its label and color, and say what cannot be seen of them."""
    for label, one, color in lines[:_MOST_CURVES]:
        values = _with_gaps(one.values)
        marker = "o" if len(values) < 30 else None
        (line,) = axes.plot(one.steps, values, label=label, linewidth=1.3, marker=marker, ms=3, color=color)
        if one.low is not None and one.high is not None:
            # What a mean hides: every spike is in the band.
            low, high = _with_gaps(one.low), _with_gaps(one.high)
            axes.fill_between(one.steps, low, high, color=line.get_color(), alpha=0.25, linewidth=0.4)
        for mark in one.nonfinite:
            # At a share of the height, whatever the values are.
            place, symbol = _EDGES[mark.kind]
            edge = axes.get_xaxis_transform()
            axes.plot(
                [mark.step], [place], symbol, color=line.get_color(), ms=5, transform=edge, clip_on=False
            )
    points = sum(one.points for _, one, _ in lines)
    drawn = sum(len(one.steps) for _, one, _ in lines)
    axes.set(
        title=title, xlabel=f"step ({points:,} points as {drawn:,} ranges)" if points > drawn else "step"
    )
    axes.grid(alpha=0.25)
    more = f"{len(lines) - _MOST_CURVES} more are not drawn" if len(lines) > _MOST_CURVES else None
    axes.legend(fontsize=8, title=more, title_fontsize=8)


def _with_gaps(values: Sequence[float | None]) -> "NDArray[np.float64]":
    return np.array([np.nan if value is None else value for value in values])


def sweep(course: Sequence[tuple[int, float, float]], metric: str) -> Figure:
    """The value of each trial as a dot, and the best so far as a line.

    Args:
        course: number, value and best value so far of each trial with a value.
        metric: its name.
    """
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    numbers, values, best = zip(*course, strict=True)
    axes.plot(numbers, values, "o", ms=4, color=NEUTRAL, alpha=0.7, label="trial")
    axes.step(numbers, best, where="post", linewidth=1.6, color=FOR, label="best so far")
    axes.set(xlabel="trial", ylabel=metric)
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    return figure


def regions(attribution: Attribution, image: bytes) -> Figure:
    """The image, and beside it how much each region spoke for the class or against it.

    Args:
        attribution: its parts are regions `x0,y0,x1,y1` in pixels.
        image: encoded.
    """
    from PIL import Image

    with Image.open(io.BytesIO(image)) as opened:
        pixels: NDArray[Any] = np.asarray(opened.convert("RGB"))
    boxes = [tuple(int(float(number)) for number in part.split(",")) for part in attribution.parts]
    # Regions may be given on the image as the model sees it, which is scaled.
    scale_x = pixels.shape[1] / max(max(box[2] for box in boxes), 1)
    scale_y = pixels.shape[0] / max(max(box[3] for box in boxes), 1)
    strongest = max((abs(value) for value in attribution.values), default=0.0) or 1.0
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    plain, overlaid = figure.subplots(1, 2)
    plain.imshow(pixels)
    plain.set_title("image")
    overlaid.imshow(pixels, alpha=0.45)
    for (x0, y0, x1, y1), value in zip(boxes, attribution.values, strict=True):
        overlaid.add_patch(
            Rectangle(
                (x0 * scale_x - 0.5, y0 * scale_y - 0.5),
                (x1 - x0) * scale_x,
                (y1 - y0) * scale_y,
                facecolor=FOR if value > 0 else AGAINST,
                alpha=0.8 * abs(value) / strongest,
                linewidth=0,
            )
        )
    overlaid.set_title(
        f"green: for '{attribution.label}', red: against" if attribution.label else "green: more, red: less"
    )
    for axes in (plain, overlaid):
        axes.set_axis_off()
    return figure


def bars(attribution: Attribution) -> Figure:
    """A bar for each feature, the strongest on top."""
    ranked = sorted(zip(attribution.parts, attribution.values, strict=True), key=lambda pair: -abs(pair[1]))
    shown, rest = ranked[:_MOST_BARS], ranked[_MOST_BARS:]
    if rest:
        shown.append((f"{len(rest)} others", sum(value for _, value in rest)))
    names, values = [name for name, _ in shown], [value for _, value in shown]
    figure = Figure(figsize=(7, 0.6 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, values, color=[FOR if value > 0 else AGAINST for value in values])
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    of, form = (
        (f"the probability of '{attribution.label}'", ".3f") if attribution.label else ("the number", ".6g")
    )
    axes.set_xlabel(f"contribution to {of}: {attribution.base:{form}} → {attribution.probability:{form}}")
    axes.grid(axis="x", alpha=0.25)
    return figure
