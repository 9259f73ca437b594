"""Runs in words, with what an evaluation says of their models."""

from modelship_lab.client import RunHandle
from modelship_lab.client.run_table import MAIN_FIGURES
from modelship_lab.commands.description.words import (
    MOST_ROWS,
    Description,
    Grid,
    describe,
    duration,
    moment,
    number,
    preview,
)
from modelship_lab.commands.results import (
    RunReport,
)
from modelship_lab.records.base import medium_of
from modelship_lab.records.evaluation import Evaluation
from modelship_lab.records.tracking import Run

WORST_ERRORS = "Worst errors"


@describe.register
def _(value: Run) -> Description:
    ended = value.ended_at or value.heartbeat_at
    order = [name for name in MAIN_FIGURES if name in value.summary]
    order += [name for name in value.summary if name not in order]
    return Description(
        f"Run {value.id}"
        + "".join(f" · {part}" for part in (value.name, value.project, value.status) if part),
        (
            *((("recipe", value.recipe),) if value.recipe else ()),
            *((("snapshot", str(value.snapshot_id)),) if value.snapshot_id is not None else ()),
            ("started", moment(value.started_at)),
            ("duration", duration((ended - value.started_at).total_seconds())),
            *((("tags", ", ".join(value.tags)),) if value.tags else ()),
            *((("error", value.error),) if value.error else ()),
            *((name, number(value.summary[name])) for name in order),
        ),
        (_grid_of_params(value),) if value.params else (),
    )


def _grid_of_params(run: Run) -> Grid:
    return Grid(
        "Parameters",
        ("name", "value"),
        tuple((name, "default" if value is None else str(value)) for name, value in run.params.items()),
    )


@describe.register
def _(value: RunHandle) -> Description:
    return describe(value.record)


@describe.register
def _(value: RunReport) -> Description:
    base = describe(value.run)
    grids = list(base.grids)
    evaluation = value.evaluation
    if evaluation is not None:
        grids.append(
            Grid(
                f"{evaluation.rows:,} held-out rows: {_figures(evaluation)}",
                ("class", "precision", "recall", "F1", "rows"),
                tuple(
                    (
                        one.label,
                        f"{one.precision:.3f}",
                        f"{one.recall:.3f}",
                        f"{one.f1:.3f}",
                        number(one.support),
                    )
                    for one in evaluation.per_class
                ),
            )
        )
        grids += _report_grids(evaluation)
        if evaluation.worst:
            grids.append(_grid_of_worst(evaluation))
    if value.artifacts:
        files = tuple((one.name, f"{one.size:,}", one.content_type) for one in value.artifacts)
        grids.append(Grid("Artifacts", ("name", "bytes", "type"), files))
    return Description(base.title, base.facts, tuple(grids), base.note)


def _figures(evaluation: Evaluation) -> str:
    if evaluation.kind == "number":
        unit = f" {evaluation.unit}" if evaluation.unit else ""
        return (
            f"mean absolute error {evaluation.mae:.6g}{unit} (always the median: {evaluation.baseline_mae:.6g}), "
            + (
                f"median {evaluation.median_absolute_error:.6g}{unit}, "
                if evaluation.median_absolute_error is not None
                else ""
            )
            + f"RMSE {evaluation.rmse:.6g}{unit}, R² {evaluation.r2:.4f}"
        )
    usual = "commonest class" if evaluation.kind == "label" else "usual classes"
    return (
        f"accuracy {evaluation.accuracy:.4f} (always the {usual}: {evaluation.baseline_accuracy:.4f}), "
        f"macro F1 {evaluation.macro_f1:.4f}, "
        + (
            f"micro F1 {evaluation.micro_f1:.4f}, Hamming loss {evaluation.hamming_loss:.4f}, "
            if evaluation.micro_f1 is not None
            else ""
        )
        + f"log loss {evaluation.log_loss:.4f}"
        + (f", calibration error {evaluation.calibration.error:.4f}" if evaluation.calibration else "")
    )


def _report_grids(evaluation: Evaluation) -> list[Grid]:
    """What simpler models reach, and where this one is worst."""
    grids = []
    is_number = evaluation.kind == "number"
    if evaluation.baselines:
        names = {"mae": "mean absolute error", "rmse": "RMSE", "r2": "R²"}
        if not is_number:
            names = {"accuracy": "accuracy", "macro_f1": "macro F1"}
        models = [
            ("this model", evaluation, ""),
            *((one.name, one, number(one.train_rows)) for one in evaluation.baselines),
        ]
        grids.append(
            Grid(
                "On the same rows",
                ("", *names.values(), "trained on rows"),
                tuple(
                    (name, *(_score(getattr(model, figure)) for figure in names), rows)
                    for name, model, rows in models
                ),
            )
        )
    if evaluation.slices:
        grids.append(
            Grid(
                "Where it is worst",
                (
                    "held-out rows with",
                    "mean absolute error" if is_number else "accuracy",
                    "95 % interval",
                    "rows",
                ),
                tuple(
                    (one.name, _score(one.score), f"{one.low:.3g} to {one.high:.3g}", number(one.rows))
                    for one in evaluation.slices
                ),
            )
        )
    return grids


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _grid_of_worst(evaluation: Evaluation) -> Grid:
    rows = [
        (str(one.sample_id), one.actual, one.predicted, f"{one.confidence:.3f}", preview(one.preview))
        for one in evaluation.worst[:MOST_ROWS]
    ]
    sure = "off by (deviations)" if evaluation.kind == "number" else "confidence"
    columns = ("sample", "actual", "predicted", sure, "content")
    # The address of an image says nothing to a reader, who finds it by the sample's id.
    read = 4 if medium_of(evaluation.task) == "image" else 5
    return Grid(WORST_ERRORS, columns[:read], tuple(row[:read] for row in rows))
