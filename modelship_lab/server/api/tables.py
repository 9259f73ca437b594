"""Tables for SQL that runs in the caller's own process."""

from modelship_lab.records.base import Page
from modelship_lab.records.tables import LabTable
from modelship_lab.server.api.endpoint import ARROW, FileContent, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller


@endpoint("GET", "tables", permission="read")
async def list_tables(services: Services, caller: Caller) -> Page[LabTable]:
    """The tables that there are, with their columns."""
    return services.tables.page(caller)


@endpoint("GET", "tables/{table}", permission="read")
async def read_table(
    services: Services,
    caller: Caller,
    table: str,
    columns: tuple[str, ...] = (),
    id: tuple[int, ...] = (),
    run_id: tuple[int, ...] = (),
    project_id: tuple[int, ...] = (),
    limit: int | None = None,
) -> FileContent:
    """The rows of a table that the caller may see, as an Arrow IPC stream.

    Only these columns; only the rows of these ids, runs or projects; at most so many rows.
    """
    numbers = {"id": id, "run_id": run_id, "project_id": project_id}
    wanted = {name: given for name, given in numbers.items() if given}
    most = None if limit is None else max(limit, 0)
    path = await services.tables.write(table, columns, wanted, most, caller)
    return FileContent(path, ARROW, temporary=True)
