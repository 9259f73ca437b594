"""The table of runs."""

from modelship_lab.records.base import Page
from modelship_lab.records.run_table import RunColumn, RunRows
from modelship_lab.server.api.endpoint import Offset, PageSize, Request, Table, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.tracking.run_table import arrow_table


@endpoint("GET", "runs/table", permission="read")
async def list_run_rows(
    services: Services,
    caller: Caller,
    request: Request,
    filter: str = "",
    project: str | None = None,
    sort: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
    limit: PageSize = 100,
    offset: Offset = 0,
) -> RunRows | Table:
    """Runs that a filter lets through, sorted, with the columns that are asked for.

    A filter is a Python expression, e.g. `status == "finished" and metrics.loss < 0.3 and params.lr in (0.1, 0.01)`;
    a column is a name such as `params.lr`, `metrics.loss.min` or `summary.accuracy`, and `-` before one in
    `sort` sorts it down.
    """
    rows = await services.run_table.rows(filter, project, sort, columns, limit, offset, caller)
    return Table(arrow_table(rows, columns)) if request.wants_arrow else rows


@endpoint("GET", "runs/columns", permission="read")
async def list_run_columns(services: Services, caller: Caller, project: str | None = None) -> Page[RunColumn]:
    """The parameters, metrics and final figures that runs have, those of most runs first."""
    return await services.run_table.columns(project, caller)
