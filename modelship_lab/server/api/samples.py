"""Samples, their images, and which to label next."""

from modelship_lab.records.base import Page
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import (
    NewSuggestions,
    Queue,
    QueueOrder,
    Sample,
    SampleStatus,
    SavedSuggestions,
)
from modelship_lab.server.api.endpoint import ARROW, MAX_PAGE, FileContent, Offset, Request, Table, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.images import content_type

SUGGESTIONS_LIMIT = 64 << 20
MAX_QUEUE = 200
MAX_EXCLUDED = 5000


@endpoint("GET", "projects/{project}/samples", permission="read")
async def list_samples(
    services: Services,
    caller: Caller,
    request: Request,
    project: str,
    status: SampleStatus | None = None,
    label: str | None = None,
    search: str = "",
    limit: int | None = None,
    offset: Offset = 0,
) -> Page[Sample] | Table:
    """Samples in the order of their import; all of them as an Arrow table when that is accepted."""
    found = services.projects.get(project, caller)
    if request.wants_arrow:
        rows = None if limit is None else max(limit, 0)
        return Table(await services.samples.table(found, status, label, search, rows, offset, caller))
    shown = min(max(100 if limit is None else limit, 1), MAX_PAGE)
    return await services.samples.page(found, status, label, search, shown, offset, caller)


@endpoint("GET", "samples/{sample_id}", permission="read")
async def read_sample(services: Services, caller: Caller, sample_id: int) -> Sample:
    """One sample."""
    return await services.samples.get(sample_id, caller)


@endpoint("GET", "blobs/{digest}", permission="read")
async def read_blob(services: Services, caller: Caller, digest: str) -> FileContent:
    """An image by its content address."""
    path = await services.blob_access.path(digest, caller)
    kind = content_type(path)
    if kind is None:
        # Whatever else is stored must not run in a browser as a page of ours.
        return FileContent(path, immutable=True, attachment=digest)
    return FileContent(path, kind, immutable=True)


@endpoint("GET", "projects/{project}/queue", permission="read")
async def read_queue(
    services: Services,
    caller: Caller,
    project: str,
    order: QueueOrder = "uncertainty",
    limit: int = 20,
    exclude: tuple[int, ...] = (),
) -> Queue:
    """The next samples to label, best first, without those of `exclude`."""
    if len(exclude) > MAX_EXCLUDED:
        raise InvalidInput(f"At most {MAX_EXCLUDED} samples can be excluded at once.")
    found = services.projects.get(project, caller)
    return await services.queue.next(found, order, min(max(limit, 1), MAX_QUEUE), caller, exclude)


@endpoint("PUT", "projects/{project}/suggestions", permission="label", max_body=SUGGESTIONS_LIMIT)
async def save_suggestions(
    services: Services, caller: Caller, request: Request, project: str, source: str = ""
) -> SavedSuggestions:
    """Save suggestions, as JSON or as an Arrow IPC stream; those that the samples had are replaced."""
    found = services.projects.get(project, caller)
    if request.content_type == ARROW:
        return await services.suggestions.save_stream(found, request.body, source, caller)
    return await services.suggestions.save(found, request.json(NewSuggestions), caller)
