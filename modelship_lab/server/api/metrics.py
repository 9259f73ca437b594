"""The metrics of runs."""

from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.metrics import LoggedMetrics, MetricPoints, Metrics, MetricSummary
from modelship_lab.server.api.endpoint import ARROW, Request, Table, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller

METRICS_LIMIT = 64 << 20


@endpoint("POST", "runs/{run_id}/metrics", permission="train", max_body=METRICS_LIMIT)
async def log_metrics(
    services: Services, caller: Caller, request: Request, run_id: int, producer: str = "", sequence: int = 0
) -> LoggedMetrics:
    """Store metric points, as an Arrow IPC stream or as JSON; answered after the commit.

    With a producer, its batches are numbered upwards and each is stored once however often it is sent.
    """
    if producer and sequence < 1:
        raise InvalidInput(
            "A producer numbers its batches from 1.", [{"field": "sequence", "reason": "missing"}]
        )
    if request.content_type == ARROW:
        return await services.metrics.log_table(run_id, request.body, producer, sequence, caller)
    points = request.json(MetricPoints)
    return await services.metrics.log_points(run_id, points, producer, sequence, caller)


@endpoint("GET", "runs/{run_id}/metrics", permission="read")
async def read_metrics(
    services: Services,
    caller: Caller,
    request: Request,
    run_id: int,
    names: tuple[str, ...] = (),
    max_points: int = 1000,
) -> Metrics | Table:
    """The metrics of a run, reduced to about `max_points` each; every raw point as an Arrow table."""
    if request.wants_arrow:
        return Table(await services.metrics.table(run_id, names, caller))
    return await services.metrics.read(run_id, names, min(max(max_points, 2), 100_000), caller)


@endpoint("GET", "runs/{run_id}/metrics/summary", permission="read")
async def summarize_metrics(services: Services, caller: Caller, run_id: int) -> Page[MetricSummary]:
    """What became of each metric of a run, by name and context."""
    items = await services.metrics.summary(run_id, caller)
    return Page(items=items, total=len(items), limit=len(items), offset=0)
