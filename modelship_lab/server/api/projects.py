"""Projects and how far their labeling is."""

from modelship_lab.records.base import Page
from modelship_lab.records.labeling import NewProject, Progress, Project, ProjectChange, Quality
from modelship_lab.server.api.endpoint import Offset, PageSize, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller


@endpoint("POST", "projects", permission="write", status=201)
async def create_project(services: Services, caller: Caller, body: NewProject) -> Project:
    """Create a project."""
    return await services.projects.create(body, caller)


@endpoint("GET", "projects", permission="read")
async def list_projects(
    services: Services, caller: Caller, search: str = "", limit: PageSize = 100, offset: Offset = 0
) -> Page[Project]:
    """The caller's and public projects whose name contains `search`, the newest first."""
    return services.projects.page(search, limit, offset, caller)


@endpoint("GET", "projects/{project}", permission="read")
async def read_project(services: Services, caller: Caller, project: str) -> Project:
    """One project, by id or name."""
    return services.projects.get(project, caller)


@endpoint("PATCH", "projects/{project}", permission="write")
async def change_project(services: Services, caller: Caller, project: str, body: ProjectChange) -> Project:
    """Change a project's name, description and who may see it; give it a task if it has none."""
    return await services.projects.change(services.projects.get(project, caller), body, caller)


@endpoint("DELETE", "projects/{project}", permission="write")
async def delete_project(services: Services, caller: Caller, project: str) -> None:
    """Delete a project with its samples, labels, suggestions, imports and snapshots."""
    await services.projects.delete(services.projects.get(project, caller), caller)


@endpoint("GET", "projects/{project}/progress", permission="read")
async def read_progress(services: Services, caller: Caller, project: str) -> Progress:
    """How far the labeling of a project is."""
    return await services.counts.progress(services.projects.get(project, caller), caller)


@endpoint("GET", "projects/{project}/quality", permission="read")
async def read_quality(services: Services, caller: Caller, project: str) -> Quality:
    """How good the human labels are: agreement between people, with known answers, and with themselves."""
    return await services.quality.report(services.projects.get(project, caller), caller)
