"""The metrics of runs."""

from pydantic import FiniteFloat

from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.metrics import LoggedMetrics, MetricPoints, Metrics, MetricSummary, OnDuplicate
from modelship_lab.server.api.endpoint import ARROW, Request, Serialized, Table, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.tracking.curves import Axis
from modelship_lab.server.tracking.series import MOST_SUMMARIES

METRICS_LIMIT = 64 << 20

MAX_POINTS = 100_000
"""Of one series in one answer."""


@endpoint("POST", "runs/{run_id}/metrics", permission="train", max_body=METRICS_LIMIT)
async def log_metrics(
    services: Services,
    caller: Caller,
    request: Request,
    run_id: int,
    producer: str = "",
    sequence: int = 0,
    on_duplicate: OnDuplicate = "replace",
) -> LoggedMetrics:
    """Store metric points, as an Arrow IPC stream or as JSON; answered after the commit.

    With a producer, its batches are numbered upwards and each is stored once however often it is sent.
    A point whose metric, context and step were stored before replaces that one; `on_duplicate=keep` keeps both.
    """
    if producer and sequence < 1:
        raise InvalidInput(
            "A producer numbers its batches from 1.", [{"field": "sequence", "reason": "missing"}]
        )
    if request.content_type == ARROW:
        return await services.metrics.log_table(
            run_id, request.body, producer, sequence, caller, on_duplicate
        )
    points = request.json(MetricPoints)
    return await services.metrics.log_points(run_id, points, producer, sequence, caller, on_duplicate)


@endpoint("GET", "runs/{run_id}/metrics", permission="read")
async def read_metrics(
    services: Services,
    caller: Caller,
    request: Request,
    run_id: int,
    names: tuple[str, ...] = (),
    max_points: int = 1000,
    x: str = "step",
    start: FiniteFloat | None = None,
    end: FiniteFloat | None = None,
) -> Serialized[Metrics] | Table:
    """The metrics of a run over an axis, reduced to `max_points` each; every raw point as an Arrow table.

    The axis `x` is `step`, `time` or `metric:NAME`; `start` and `end` are in its unit.
    """
    if request.wants_arrow:
        return Table(await services.series.table(run_id, names, caller))
    axis = Axis(x, start, end)
    most = min(max(max_points, 2), MAX_POINTS)
    return Serialized(await services.series.read(run_id, names, most, axis, caller))


@endpoint("GET", "runs/{run_id}/metrics/summary", permission="read")
async def summarize_metrics(
    services: Services, caller: Caller, run_id: int, limit: int = MOST_SUMMARIES, offset: int = 0
) -> Page[MetricSummary]:
    """What became of each metric of a run, by name and context."""
    most = min(max(limit, 1), MOST_SUMMARIES)
    return await services.series.summary(run_id, caller, most, max(offset, 0))
