"""Decisions about samples."""

from modelship_lab.records.base import Page
from modelship_lab.records.labeling import (
    Label,
    NewBulk,
    NewGolds,
    NewLabels,
    Revoke,
    SavedBulk,
    SavedGold,
    SavedLabels,
    Undo,
    Undone,
)
from modelship_lab.server.api.endpoint import Offset, PageSize, Request, Table, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller


@endpoint("POST", "projects/{project}/labels", permission="label")
async def save_labels(services: Services, caller: Caller, project: str, body: NewLabels) -> SavedLabels:
    """Save decisions; answered when they are on disk. One that was saved before is not saved again."""
    return await services.labels.save(services.projects.get(project, caller), body.labels, caller)


@endpoint("GET", "projects/{project}/labels", permission="read")
async def list_labels(
    services: Services,
    caller: Caller,
    request: Request,
    project: str,
    limit: PageSize = 100,
    offset: Offset = 0,
) -> Page[Label] | Table:
    """Decisions, the newest first; all of them, the oldest first, as an Arrow table when that is accepted."""
    found = services.projects.get(project, caller)
    if request.wants_arrow:
        return Table(await services.labels.table(found, caller))
    return await services.labels.page(found, limit, offset, caller)


@endpoint("POST", "projects/{project}/labels/bulk", permission="label")
async def save_bulk(services: Services, caller: Caller, project: str, body: NewBulk) -> SavedBulk:
    """Save one decision about all samples that a filter means; one undo takes it back."""
    return await services.labels.save_bulk(services.projects.get(project, caller), body, caller)


@endpoint("POST", "projects/{project}/labels/undo", permission="label")
async def undo_label(services: Services, caller: Caller, project: str, body: Undo) -> Undone:
    """Take back the caller's newest act, or the decision or batch named."""
    return await services.undoing.undo(services.projects.get(project, caller), body, caller)


@endpoint("POST", "projects/{project}/labels/revoke", permission="label")
async def revoke_labels(services: Services, caller: Caller, project: str, body: Revoke) -> SavedBulk:
    """Take back every automatic label of one model version or rule."""
    return await services.undoing.revoke(services.projects.get(project, caller), body, caller)


@endpoint("POST", "projects/{project}/gold", permission="write")
async def save_gold(services: Services, caller: Caller, project: str, body: NewGolds) -> SavedGold:
    """Save known answers: they count as labels, and labelers are measured by them."""
    return await services.labels.save_gold(services.projects.get(project, caller), body.gold, caller)
