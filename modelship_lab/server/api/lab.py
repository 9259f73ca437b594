"""Which lab this is, and whether it is well."""

from modelship_lab.records.base import Page
from modelship_lab.records.events import Event, LabInfo
from modelship_lab.server.api.endpoint import PageSize, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.api.topics import require_topic
from modelship_lab.server.identity.policy import Caller


@endpoint("GET", "health", permission=None)
async def health() -> dict[str, str]:
    """Whether the server answers. Needs no credential and says nothing else."""
    return {"status": "ok"}


@endpoint("GET", "lab", permission="read")
async def lab(services: Services, caller: Caller) -> LabInfo:
    """Which lab this is, and which account asks."""
    hidden: dict[str, None] = {} if caller.is_admin else {"pid": None, "data_dir": None}
    database = services.database
    present = {"refused_rows": database.refused_rows, "lacks_room": database.is_stuck}
    return services.info.model_copy(update={"account_id": caller.account_id, **present, **hidden})


@endpoint("GET", "events", permission="read")
async def list_events(
    services: Services, caller: Caller, after: int = 0, topic: str | None = None, limit: PageSize = 100
) -> Page[Event]:
    """The caller's events, or those of one topic, newer than the id `after`, oldest first."""
    if topic:
        await require_topic(services, caller, topic)
    return await services.events.page(after, topic, limit, caller)
