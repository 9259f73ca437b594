"""The files of runs."""

from typing import Annotated

from pydantic import Field

from modelship_lab.records.artifacts import Artifact, ArtifactKind, TableRows
from modelship_lab.records.base import Page
from modelship_lab.server.api.endpoint import FileContent, Offset, PageSize, Upload, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.tracking import artifacts

Caption = Annotated[str, Field(max_length=2000)]

SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""Pictures that hold nothing that runs; everything else is for saving, lest it runs as a page of ours."""


@endpoint("PUT", "runs/{run_id}/artifacts/{name}", permission="train", status=201)
async def save_artifact(
    services: Services,
    caller: Caller,
    run_id: int,
    name: str,
    upload: Upload,
    kind: ArtifactKind = "file",
    step: int | None = None,
    caption: Caption = "",
) -> Artifact:
    """Save a file of a run; one of the same name and step is replaced. Folders in the name are written with %2F."""
    given = artifacts.Upload(upload.path, upload.size, upload.content_type, kind, step, caption)
    return await services.artifacts.save(run_id, name, given, caller)


@endpoint("GET", "runs/{run_id}/artifacts", permission="read")
async def list_artifacts(
    services: Services, caller: Caller, run_id: int, kind: ArtifactKind | None = None, name: str | None = None
) -> Page[Artifact]:
    """All files of a run, by name and step."""
    return await services.artifacts.page(run_id, caller, kind, name)


@endpoint("GET", "runs/{run_id}/artifacts/{name}", permission="read")
async def read_artifact(
    services: Services, caller: Caller, run_id: int, name: str, step: int | None = None
) -> FileContent:
    """The content of one file of a run, the newest step if none is asked for."""
    artifact, path = await services.artifacts.find(run_id, name, caller, step)
    shown = artifact.content_type.lower() in SHOWN
    file_name = name.rpartition("/")[2]
    return FileContent(path, artifact.content_type, attachment="" if shown else file_name, sandboxed=True)


@endpoint("DELETE", "runs/{run_id}/artifacts/{name}", permission="train")
async def delete_artifact(
    services: Services, caller: Caller, run_id: int, name: str, step: int | None = None
) -> None:
    """Delete a file of a run, of all steps if none is named."""
    await services.artifacts.delete(run_id, name, step, caller)


@endpoint("GET", "runs/{run_id}/artifact-rows/{table}", permission="read")
async def read_artifact_rows(
    services: Services,
    caller: Caller,
    run_id: int,
    table: str,
    step: int | None = None,
    limit: PageSize = 100,
    offset: Offset = 0,
) -> TableRows:
    """Some rows of a file that is a table, the newest step if none is asked for."""
    return await services.artifacts.rows(run_id, table, step, limit, offset, caller)
