"""Files into projects."""

from modelship_lab.records.base import Seconds
from modelship_lab.records.labeling import (
    SEPARATOR,
    Existing,
    Import,
    ImportFormat,
    ImportOptions,
    Match,
    SelectionName,
    Separator,
)
from modelship_lab.server.api.endpoint import Upload, endpoint
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
) -> Import:
    """Import a file, which is the body. It is read in the background: ask for the import to see how it goes.

    The format is told by the file's name unless it is given.
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
    return await services.imports.begin(found, options, upload.path, upload.size, caller)


@endpoint("GET", "imports/{import_id}", permission="read")
async def read_import(services: Services, caller: Caller, import_id: int, wait_s: Seconds = 0) -> Import:
    """One import; with `wait_s`, once it has ended, or after so many seconds."""
    return await services.imports.get(import_id, caller, min(max(wait_s, 0), MAX_WAIT_S))
