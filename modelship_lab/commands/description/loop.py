"""The things of the loop in words: projects, imports, snapshots, runs, models, deployments."""

import json
from collections.abc import Iterable
from typing import Any

from modelship_lab.client import ProjectHandle, RunHandle, SnapshotData
from modelship_lab.commands.description.words import (
    Description,
    Grid,
    describe,
    duration,
    moment,
    moved,
    number,
    preview,
    said,
)
from modelship_lab.commands.results import (
    DeploymentReport,
    Done,
    Exported,
    Imported,
    Predicted,
    Predictions,
    ProjectProgress,
    RunReport,
)
from modelship_lab.learning.autolog import Autologging
from modelship_lab.records.base import medium_of
from modelship_lab.records.bundle import BundleManifest
from modelship_lab.records.evaluation import Evaluation
from modelship_lab.records.events import LabInfo
from modelship_lab.records.labeling import Project, RowProblem
from modelship_lab.records.model_export import ModelExport
from modelship_lab.records.registry import ModelVersion
from modelship_lab.records.serving import Deployment, WindowMetrics
from modelship_lab.records.tracking import Run

MAIN_FIGURES = (
    "test_accuracy",
    "test_macro_f1",
    "test_mae",
    "test_r2",
    "val_accuracy",
    "val_f1",
    "val_loss",
    "train_loss",
)
WORST_ERRORS = "Worst errors"
_MOST_ROWS = 20
_MOST_NUMBERS = 5


@describe.register
def _(value: Done) -> Description:
    return Description(value.message)


@describe.register
def _(value: Autologging) -> Description:
    if not value.logged:
        return Description("Autologging is off")
    note = "`%mlship autolog --off` leaves them as they were."
    return Description("Autologging is on", tuple(value.logged.items()), note=note)


def _answers(project: Project) -> tuple[tuple[str, str], ...]:
    """What can be said about a sample."""
    if project.classes:
        return (("classes", ", ".join(project.classes)),)
    ends = [
        "" if one is None else f"{one:.12g}" for one in (project.settings.lowest, project.settings.highest)
    ]
    facts = (("unit", project.settings.unit), ("range", "..".join(ends) if any(ends) else ""))
    return tuple((name, said) for name, said in facts if said)


@describe.register
def _(value: ProjectHandle) -> Description:
    record = value.record
    return Description(
        f"Project {record.name}",
        (
            ("id", str(record.id)),
            *((("task", record.task), *_answers(record)) if record.task else ()),
            *((("description", record.description),) if record.description else ()),
            ("created", moment(record.created_at)),
        ),
    )


@describe.register
def _(value: ProjectProgress) -> Description:
    progress = value.progress
    done = progress.labeled + progress.skipped + progress.flagged
    share = done / progress.total if progress.total else 0.0
    return Description(
        f"{value.project}: {done:,} of {progress.total:,} samples done ({share:.0%})",
        (
            ("labeled", number(progress.labeled)),
            *((("labeled automatically", number(progress.auto)),) if progress.auto else ()),
            ("skipped", number(progress.skipped)),
            ("flagged", number(progress.flagged)),
            ("unlabeled", number(progress.unlabeled)),
            ("seconds per label", number(progress.seconds_per_label, 2)),
            ("time left", duration(progress.remaining_s)),
        ),
        (Grid("Labels by class", ("class", "labels"), _counts(progress.by_class)),),
    )


def _counts(counts: dict[str, int]) -> tuple[tuple[str, ...], ...]:
    return tuple((name, number(count)) for name, count in counts.items())


@describe.register
def _(value: Imported) -> Description:
    result = value.result
    grids: tuple[Grid, ...] = ()
    if result.problems:
        grids = (Grid("Rows that were not added", ("rows", "reason"), _by_reason(result.problems)),)
    left = result.duplicates + result.bad_rows - len(result.problems)
    return Description(
        f"{result.filename}: {result.samples_added:,} {_samples(result.samples_added)} added to {value.project}",
        (
            ("rows read", number(result.rows_read)),
            ("samples added", number(result.samples_added)),
            ("labels added", number(result.labels_added)),
            ("suggestions added", number(result.suggestions_added)),
            *((("automatic labels", number(result.auto_added)),) if result.auto_added else ()),
            ("duplicates", number(result.duplicates)),
            *((("of them labeled", number(result.labels_changed)),) if result.labels_changed else ()),
            *((("of them labeled otherwise", number(result.labels_kept)),) if result.labels_kept else ()),
            ("bad rows", number(result.bad_rows)),
        ),
        grids,
        f"and {left:,} more rows that were not added" if grids and left > 0 else "",
    )


@describe.register
def _(value: Exported) -> Description:
    result = value.result
    grids: tuple[Grid, ...] = ()
    if result.problems:
        reasons = _by_reason(result.problems)
        grids = (Grid("What the format has no place for", ("samples", "reason"), reasons),)
    return Description(
        f"{value.path}: {result.rows_written:,} {_samples(result.rows_written)}",
        (("format", result.format), ("bytes", number(result.bytes)), ("left out", number(result.left_out))),
        grids,
    )


def _samples(count: int) -> str:
    return "sample" if count == 1 else "samples"


def _by_reason(problems: Iterable[RowProblem]) -> tuple[tuple[str, str], ...]:
    """The rows of each reason on one line, the first few by number."""
    rows: dict[str, list[int]] = {}
    for problem in problems:
        rows.setdefault(problem.reason, []).append(problem.row)
    lines = []
    for reason, numbers in rows.items():
        more = f" and {len(numbers) - _MOST_NUMBERS} more" if len(numbers) > _MOST_NUMBERS else ""
        lines.append((", ".join(map(str, numbers[:_MOST_NUMBERS])) + more, reason))
    return tuple(lines[:_MOST_ROWS])


@describe.register
def _(value: SnapshotData) -> Description:
    info = value.info
    return Description(
        f"Snapshot {info.id} (number {info.number} of its project): {info.rows:,} rows",
        (
            *((("description", info.description),) if info.description else ()),
            ("created", moment(info.created_at)),
            ("SHA-256", info.digest),
        ),
        (Grid("Rows by class", ("class", "rows"), _counts(info.by_class)),),
    )


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
        return (
            f"mean absolute error {evaluation.mae:.6g} (always the median: {evaluation.baseline_mae:.6g}), "
            + (
                f"median {evaluation.median_absolute_error:.6g}, "
                if evaluation.median_absolute_error is not None
                else ""
            )
            + f"RMSE {evaluation.rmse:.6g}, R² {evaluation.r2:.4f}"
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
        for one in evaluation.worst[:_MOST_ROWS]
    ]
    sure = "off by (deviations)" if evaluation.kind == "number" else "confidence"
    columns = ("sample", "actual", "predicted", sure, "content")
    # The address of an image says nothing to a reader, who finds it by the sample's id.
    read = 4 if medium_of(evaluation.task) == "image" else 5
    return Grid(WORST_ERRORS, columns[:read], tuple(row[:read] for row in rows))


@describe.register
def _(value: BundleManifest) -> Description:
    parity = value.parity
    facts = [
        ("task", value.task),
        ("classes", ", ".join(value.classes) or "none: it predicts a number"),
        ("preprocessing", value.preprocessing.kind),
        ("files", ", ".join(value.checksums)),
    ]
    if parity is not None:
        facts += [
            ("parity", f"checked on {parity.rows:,} real rows at batch sizes {_listed(parity.batch_sizes)}"),
            ("largest difference", f"{parity.max_difference:.2g} (allowed: {parity.tolerance:.0e})"),
            ("label flips", str(parity.label_flips)),
        ]
    facts += [(name, number(figure)) for name, figure in value.metrics.items()]
    origin = f"of run {value.lineage.run_id}" if value.lineage.run_id is not None else ""
    return Description(f"Bundle {origin}".strip(), tuple(facts))


@describe.register
def _(value: ModelExport) -> Description:
    rows = tuple(
        (
            one.path,
            f"{one.bytes:,}",
            _percent(one.accuracy),
            _percent(one.changed_answers),
            "–" if one.rows_per_s is None else f"{one.rows_per_s:,.0f}",
        )
        for one in value.files
    )
    return Description(
        f"Export of run {value.run_id}" if value.run_id is not None else "Export",
        (
            ("formats", ", ".join(value.formats)),
            ("compared on", f"{value.rows:,} rows that were held out"),
            ("accuracy before", _percent(value.source_accuracy)),
        ),
        (Grid("Files", ("file", "bytes", "accuracy", "changed answers", "rows/s"), rows),),
        " ".join(value.notes),
    )


def _percent(part: float | None) -> str:
    return "–" if part is None else f"{part:.1%}"


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(str(one) for one in numbers)


@describe.register
def _(value: ModelVersion) -> Description:
    return Description(
        f"Model {value.model}/{value.version}",
        (
            ("stage", value.stage),
            ("run", str(value.run_id)),
            ("snapshot", "–" if value.snapshot_id is None else str(value.snapshot_id)),
            *((("tags", ", ".join(value.tags)),) if value.tags else ()),
            *((("description", value.description),) if value.description else ()),
            *((key, str(one)) for key, one in value.metadata.items()),
            ("bundle", value.bundle),
            ("registered", moment(value.created_at)),
            *((name, number(figure)) for name, figure in value.metrics.items()),
        ),
    )


@describe.register
def _(value: Deployment) -> Description:
    start = ", ".join(f"{name} {milliseconds:.0f}" for name, milliseconds in value.cold_start_ms.items())
    return Description(
        f"Deployment {value.name} · {value.status}",
        (
            ("model", value.model),
            ("version", f"v{value.version}"),
            ("direct address", value.address or "–"),
            ("classes", ", ".join(value.classes) or "none: it predicts a number"),
            ("restarts", str(value.restarts)),
            *((("cold start, ms", start),) if start else ()),
            *((("error", value.error),) if value.error else ()),
        ),
    )


@describe.register
def _(value: DeploymentReport) -> Description:
    base = describe(value.deployment)
    total = value.metrics.total
    return Description(
        base.title,
        base.facts,
        (
            Grid(
                f"Last {value.metrics.window_s} seconds",
                ("requests", "errors", "rows", "p50, ms", "p95, ms", "p99, ms"),
                (_window(total),),
            ),
        ),
    )


def _window(window: WindowMetrics) -> tuple[str, ...]:
    latencies = (window.p50_ms, window.p95_ms, window.p99_ms)
    return (
        number(window.requests),
        number(window.errors),
        number(window.rows),
        *("–" if one is None else f"{one:.2f}" for one in latencies),
    )


@describe.register
def _(value: Predicted) -> Description:
    prediction = value.prediction
    # Of a number there are none.
    shares = zip(value.classes, prediction.probabilities, strict=False)
    ranked = sorted(shares, key=lambda pair: -pair[1])[:_MOST_ROWS]
    grids = [Grid("", ("class", "probability"), tuple((name, f"{share:.4f}") for name, share in ranked))]
    if not ranked:
        grids.clear()
    attribution = prediction.explanation
    if attribution is not None:
        strongest = sorted(
            zip(attribution.parts, attribution.values, strict=True), key=lambda pair: -abs(pair[1])
        )
        grids.append(
            Grid(
                f"What moved {moved(attribution)} ({attribution.method})",
                ("part", "contribution"),
                tuple((part, f"{share:+.4g}") for part, share in strongest[:_MOST_ROWS]),
            )
        )
    return Description(
        said(prediction) + ("" if prediction.confidence is None else f" ({prediction.confidence:.1%})"),
        (
            ("deployment", " ".join(part for part in (value.deployment, prediction.model_version) if part)),
            ("response time", f"{prediction.response_time_ms:.2f} ms"),
        ),
        tuple(grids),
    )


@describe.register
def _(value: Predictions) -> Description:
    rows = tuple(
        (
            _input(one.input),
            said(one.prediction),
            "" if one.prediction.confidence is None else f"{one.prediction.confidence:.4f}",
        )
        for one in value
    )
    return Description(
        f"{len(value)} predictions", grids=(Grid("", ("input", "prediction", "confidence"), rows),)
    )


def _input(asked: Any) -> str:
    if isinstance(asked, bytes):
        return f"image of {len(asked):,} bytes"
    return preview(asked if isinstance(asked, str) else json.dumps(asked), 80)


@describe.register
def _(value: LabInfo) -> Description:
    return Description(
        f"Lab at {value.url}",
        (
            *([("data", value.data_dir)] if value.data_dir else []),
            ("version", value.version),
            *([("process", str(value.pid))] if value.pid else []),
            ("running since", moment(value.started_at)),
            *(
                [
                    (
                        "not stored",
                        f"{value.refused_rows:,} rows, which are in the table refused_rows with the reason",
                    )
                ]
                if value.refused_rows
                else []
            ),
            *([("disk", "full: make room")] if value.lacks_room else []),
        ),
    )
