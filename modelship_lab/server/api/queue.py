"""What is to be looked at next."""

from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import (
    Holder,
    NewRequests,
    Purpose,
    Queue,
    QueueOrder,
    Release,
    RequestBatch,
    SampleCount,
    SavedRequests,
)
from modelship_lab.server.api.endpoint import endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller

MAX_QUEUE = 200
MAX_EXCLUDED = 5000


@endpoint("GET", "projects/{project}/queue", permission="read")
async def read_queue(
    services: Services,
    caller: Caller,
    project: str,
    order: QueueOrder = "uncertainty",
    limit: int = 20,
    exclude: tuple[int, ...] = (),
    purpose: Purpose | None = None,
    holder: Holder = "",
) -> Queue:
    """The next samples, best first, without those of `exclude`; nobody but the holder gets them for some time."""
    if len(exclude) > MAX_EXCLUDED:
        raise InvalidInput(f"At most {MAX_EXCLUDED} samples can be excluded at once.")
    found = services.projects.get(project, caller)
    count = min(max(limit, 1), MAX_QUEUE)
    return await services.queue.next(found, order, count, caller, exclude, purpose, holder)


@endpoint("POST", "projects/{project}/queue/release", permission="label")
async def release_samples(services: Services, caller: Caller, project: str, body: Release) -> SampleCount:
    """Give back the samples that a holder has in hand; answers how many those were."""
    found = services.projects.get(project, caller)
    return SampleCount(count=services.queue.release(found, caller, body.holder))


@endpoint("POST", "projects/{project}/queue/requests", permission="label", status=201)
async def request_samples(
    services: Services, caller: Caller, project: str, body: NewRequests
) -> SavedRequests:
    """Ask people to look at samples (again)."""
    return await services.requests.ask(services.projects.get(project, caller), body, caller)


@endpoint("GET", "projects/{project}/queue/requests", permission="read")
async def list_requests(services: Services, caller: Caller, project: str) -> Page[RequestBatch]:
    """What waits to be looked at, by the act in which it was asked for, the newest first."""
    return await services.requests.page(services.projects.get(project, caller), caller)


@endpoint("DELETE", "projects/{project}/queue/requests/{batch}", permission="label")
async def withdraw_requests(services: Services, caller: Caller, project: str, batch: str) -> SampleCount:
    """Take back what was asked for in one act; answers how many samples still waited."""
    return await services.requests.withdraw(services.projects.get(project, caller), batch, caller)
