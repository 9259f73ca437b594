"""Labels out of projects."""

from modelship_lab.records.base import Seconds
from modelship_lab.records.errors import ExportFailed
from modelship_lab.records.labeling import Export, ExportFormat, NewExport, SampleFilter, SampleStatus
from modelship_lab.server.api.endpoint import FileContent, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller

MAX_WAIT_S = 60


class ExportFilter(SampleFilter):
    """Which samples are exported at once: those that people have labeled, unless something else is asked for."""

    status: tuple[SampleStatus, ...] = ("labeled",)


@endpoint("POST", "projects/{project}/exports", permission="read", status=202)
async def begin_export(services: Services, caller: Caller, project: str, body: NewExport) -> Export:
    """Begin to make a file of labels. It is made in the background: ask for the export to see how it goes."""
    return await services.exports.begin(services.projects.get(project, caller), body, caller)


@endpoint("GET", "exports/{export_id}", permission="read")
async def read_export(services: Services, caller: Caller, export_id: str, wait_s: Seconds = 0) -> Export:
    """One export; with `wait_s`, once it has ended, or after so many seconds."""
    return await services.exports.get(export_id, caller, min(max(wait_s, 0), MAX_WAIT_S))


@endpoint("GET", "exports/{export_id}/data", permission="read")
async def read_export_data(services: Services, caller: Caller, export_id: str) -> FileContent:
    """The finished file; with the header `Range` a part of it, so that a broken download goes on where it was."""
    path, export = await services.exports.file(export_id, caller)
    return FileContent(path, attachment=export.filename, etag=export.id)


@endpoint("GET", "projects/{project}/export", permission="read")
async def export_labels(
    services: Services,
    caller: Caller,
    project: str,
    format: ExportFormat,
    query: ExportFilter,
    suggestions: bool = False,
) -> FileContent:
    """A file of labels at once, as soon as it is made.

    By default of what people have labeled; every row tells by whom, from where and with which status. For much,
    begin an export and fetch it in parts.
    """
    new = NewExport(format=format, samples=query, suggestions=suggestions)
    export = await services.exports.begin(services.projects.get(project, caller), new, caller)
    while export.status == "running":
        export = await services.exports.get(export.id, caller, MAX_WAIT_S)
    if export.status == "failed":
        raise ExportFailed(export.error)
    path, export = await services.exports.take(export.id, caller)
    return FileContent(path, attachment=export.filename, temporary=True)
