"""Files into projects."""

from modelship_lab.records.base import Seconds
from modelship_lab.records.labeling import (
    PART_SIZE,
    SEPARATOR,
    Existing,
    Import,
    ImportFormat,
    ImportOptions,
    Match,
    NewPartialUpload,
    PartialUpload,
    SelectionName,
    Separator,
)
from modelship_lab.server.api.endpoint import Offset, Upload, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.labeling.formats import format_of

MAX_WAIT_S = 60


@endpoint("POST", "projects/{project}/imports", permission="write", status=202)
async def begin_import(
    services: Services,
    caller: Caller,
    upload: Upload,
    project: str,
    format: ImportFormat | None = None,
    text: str | None = None,
    image: str | None = None,
    features: tuple[str, ...] = (),
    label: str | None = None,
    prediction: str | None = None,
    confidence: str | None = None,
    group: str | None = None,
    name: str | None = None,
    split: str | None = None,
    existing: Existing = "leave",
    match: Match = "content",
    separator: Separator = SEPARATOR,
    encoding: str = "utf-8",
    filename: str = "",
    selection: SelectionName | None = None,
    uploaded: str | None = None,
) -> Import:
    """Import a file, which is the body. It is read in the background: ask for the import to see how it goes.

    The format is told by the file's name unless it is given. A file that came in parts before (see `begin_upload`) is
    named by `uploaded` in place of the body.
    """
    found = services.projects.get(project, caller)
    options = ImportOptions(
        format=format or format_of(filename),
        text=text,
        image=image,
        features=features,
        label=label,
        prediction=prediction,
        confidence=confidence,
        group=group,
        name=name,
        split=split,
        existing=existing,
        match=match,
        separator=separator,
        encoding=encoding,
        # Only shown to people; a folder in it says nothing about the file.
        filename=filename.replace("\\", "/").rpartition("/")[2][:255],
        selection=selection,
    )
    if uploaded is None:
        return await services.imports.begin(found, options, upload.path, upload.size, caller)
    path, size = await services.partial_uploads.whole(uploaded, caller)
    begun = await services.imports.begin(found, options, path, size, caller)
    await services.partial_uploads.end(uploaded)
    return begun


@endpoint("POST", "uploads", permission="write", status=201)
async def begin_upload(services: Services, caller: Caller, body: NewPartialUpload) -> PartialUpload:
    """Begin to send a large file in parts, for an import. Nothing that has come is lost when a connection breaks or the lab ends."""
    return await services.partial_uploads.begin(body.size, caller)


@endpoint("GET", "uploads/{upload_id}", permission="write")
async def read_upload(services: Services, caller: Caller, upload_id: str) -> PartialUpload:
    """How much of a file has come: go on from there. It is forgotten when nothing comes for a day."""
    return await services.partial_uploads.get(upload_id, caller)


@endpoint("PUT", "uploads/{upload_id}", permission="write", max_body=PART_SIZE)
async def save_part(
    services: Services, caller: Caller, upload: Upload, upload_id: str, offset: Offset
) -> PartialUpload:
    """The part of a file that begins at `offset`, as the body. The same part may be sent again."""
    return await services.partial_uploads.append(upload_id, offset, upload.path, caller)


@endpoint("GET", "imports/{import_id}", permission="read")
async def read_import(services: Services, caller: Caller, import_id: int, wait_s: Seconds = 0) -> Import:
    """One import; with `wait_s`, once it has ended, or after so many seconds."""
    return await services.imports.get(import_id, caller, min(max(wait_s, 0), MAX_WAIT_S))
