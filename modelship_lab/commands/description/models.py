"""Models, deployments and predictions in words."""

import json
from typing import Any

from modelship_lab.commands.description.words import (
    MOST_ROWS,
    Description,
    Grid,
    describe,
    moment,
    moved,
    number,
    preview,
    said,
)
from modelship_lab.commands.results import (
    DeploymentReport,
    Predicted,
    Predictions,
)
from modelship_lab.records.bundle import BundleManifest
from modelship_lab.records.model_export import ModelExport
from modelship_lab.records.registry import ModelVersion
from modelship_lab.records.serving import Deployment, WindowMetrics


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
    ranked = sorted(shares, key=lambda pair: -pair[1])[:MOST_ROWS]
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
                tuple((part, f"{share:+.4g}") for part, share in strongest[:MOST_ROWS]),
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
