"""Samples, their images, and what is suggested for them."""

from dataclasses import replace

from pydantic import ValidationError

from modelship_lab.records.base import Page
from modelship_lab.records.labeling import (
    NewGroups,
    NewSelection,
    NewSuggestions,
    Sample,
    SampleCount,
    SampleFilter,
    SampleOrder,
    SampleSelection,
    SavedSuggestions,
)
from modelship_lab.server.api.endpoint import (
    ARROW,
    MAX_PAGE,
    FileContent,
    InvalidRequest,
    Offset,
    Request,
    Table,
    endpoint,
    problems_of,
)
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.images import content_type

SUGGESTIONS_LIMIT = 64 << 20

MAX_POINTS = 1_000_000
"""Of the map."""


@endpoint("GET", "projects/{project}/samples", permission="read")
async def list_samples(
    services: Services,
    caller: Caller,
    request: Request,
    project: str,
    query: SampleFilter,
    sort: str = "id",
    limit: int | None = None,
    offset: Offset = 0,
    preview: int | None = None,
) -> Page[Sample] | FileContent:
    """Samples that a filter means (see `SampleFilter`), in the order of their import or as `sort` says.

    `sort` is a column of `SampleOrder`, with `-` before one that goes down; samples without its value come last.
    With `preview`, texts of a page are cut after so many characters and end with `…`. All samples come as an Arrow
    table, with whole texts, when that is accepted.
    """
    found = services.projects.get(project, caller)
    order = _order(sort)
    if request.wants_arrow:
        rows = None if limit is None else max(limit, 0)
        path = await services.samples.write_table(found, query, order, rows, offset, caller)
        return FileContent(path, ARROW, temporary=True)
    shown = min(max(100 if limit is None else limit, 1), MAX_PAGE)
    cut = None if preview is None else max(preview, 1)
    return await services.samples.page(found, query, order, shown, offset, caller, cut)


@endpoint("POST", "projects/{project}/samples/count", permission="read")
async def count_samples(services: Services, caller: Caller, project: str, body: SampleFilter) -> SampleCount:
    """How many samples a filter means."""
    return await services.samples.count(services.projects.get(project, caller), body, caller)


@endpoint("GET", "projects/{project}/map", permission="read")
async def read_map(services: Services, caller: Caller, project: str, limit: int = MAX_POINTS) -> Table:
    """Where the embedded samples lie, as an Arrow table; of more than `limit` a random part."""
    found = services.projects.get(project, caller)
    return Table(await services.samples.map(found, min(max(limit, 1), MAX_POINTS), caller))


@endpoint("PUT", "projects/{project}/groups", permission="label")
async def save_groups(services: Services, caller: Caller, project: str, body: NewGroups) -> SampleCount:
    """Say which samples belong together: they never lie in two splits."""
    return await services.groups.save(services.projects.get(project, caller), body, caller)


@endpoint("POST", "projects/{project}/selections", permission="label", status=201)
async def save_selection(
    services: Services, caller: Caller, project: str, body: NewSelection
) -> SampleSelection:
    """Remember the samples that a filter means now under a name."""
    return await services.selections.save(services.projects.get(project, caller), body, caller)


@endpoint("GET", "projects/{project}/selections", permission="read")
async def list_selections(services: Services, caller: Caller, project: str) -> Page[SampleSelection]:
    """The saved selections of a project, by name."""
    found = tuple(await services.selections.all(services.projects.get(project, caller), caller))
    return Page(items=found, total=len(found), limit=len(found), offset=0)


@endpoint("DELETE", "projects/{project}/selections/{name}", permission="label")
async def delete_selection(services: Services, caller: Caller, project: str, name: str) -> None:
    """Forget a selection; its samples stay as they are."""
    await services.selections.delete(services.projects.get(project, caller), name, caller)


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


@endpoint("PUT", "projects/{project}/suggestions", permission="label", max_body=SUGGESTIONS_LIMIT)
async def save_suggestions(
    services: Services, caller: Caller, request: Request, project: str, source: str = ""
) -> SavedSuggestions:
    """Save suggestions, as JSON or as an Arrow IPC stream; those that the samples had are replaced."""
    found = services.projects.get(project, caller)
    if request.content_type == ARROW:
        return await services.suggestions.save_stream(found, request.body, source, caller)
    return await services.suggestions.save(found, request.json(NewSuggestions), caller)


@endpoint("POST", "projects/{project}/suggestions/accept", permission="label")
async def accept_suggestions(services: Services, caller: Caller, project: str) -> SavedSuggestions:
    """Make labels of all stored suggestions that reach the project's thresholds, as of those that come from now on."""
    return await services.suggestions.accept(services.projects.get(project, caller), caller)


def _order(sort: str) -> SampleOrder:
    """An order from its query parameter.

    Raises:
        InvalidRequest: it names no column.
    """
    try:
        return SampleOrder.model_validate({"by": sort.removeprefix("-"), "descending": sort.startswith("-")})
    except ValidationError as error:
        raise InvalidRequest([replace(one, path=("sort",)) for one in problems_of(error, "query")]) from None
