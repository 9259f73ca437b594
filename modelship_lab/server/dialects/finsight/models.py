"""Exports of models, and the registry."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from modelship_lab.records.base import Name, utc_now
from modelship_lab.records.errors import (
    InvalidData,
    InvalidInput,
)
from modelship_lab.records.jobs import Job, NewModelExport
from modelship_lab.records.model_export import ModelExport, model_formats
from modelship_lab.records.registry import ModelVersion, NewModelVersion, Stage, StageChange
from modelship_lab.records.tracking import mlflow_id
from modelship_lab.server.api.dialect import Subscription
from modelship_lab.server.api.endpoint import Dressed, Offset, PageSize
from modelship_lab.server.api.services import Services
from modelship_lab.server.dialects.finsight.dialect import FINSIGHT, RegistryFailed
from modelship_lab.server.dialects.finsight.jobs import (
    STATUS,
    failure_of,
    job_of,
    news_of,
    said_of,
    told_failure,
)
from modelship_lab.server.dialects.finsight.words import (
    Answer,
    Body,
    figures_of,
    page_of,
    size_of,
    time_of,
)
from modelship_lab.server.identity.policy import Caller

DEFAULT_EXPORT_FOLDER = "exported"
EXPORT_WAIT_S = 300.0
"""The document answers when it is done; whoever waits longer asks, or hears of it."""

ExportId = Annotated[int, Dressed("export-job-")]


class ExportIn(Body):
    model_path: str = Field(min_length=1, max_length=1000)
    output_dir: str = Field(default=DEFAULT_EXPORT_FOLDER, min_length=1, max_length=1000)
    format: str = Field(min_length=1, max_length=200)
    compare: bool = Field(default=True, alias="validate")
    optimize: bool = False


class RegisterIn(Body):
    model_path: str = Field(min_length=1, max_length=1000)
    run_id: str | int
    name: Name
    description: str | None = Field(default=None, max_length=10_000)
    stage: Stage = "Staging"
    tags: dict[str, Any] | tuple[str, ...] | None = None
    metadata: dict[str, Any] | None = None


class StageIn(Body):
    stage: Stage
    comment: str | None = Field(default=None, max_length=10_000)


@FINSIGHT.endpoint("POST", "api/v1/export", permission="export", status=201)
async def export_model(services: Services, caller: Caller, body: ExportIn) -> Answer:
    """Export a trained model."""
    formats = model_formats(body.format)
    run = await services.model_exports.run_in(body.model_path, caller)
    new = NewModelExport(
        formats=formats,
        source=body.model_path,
        output=body.output_dir,
        optimize=body.optimize,
        compare=body.compare,
    )
    begun = await services.model_exports.begin(run.id, new, caller)
    job = await services.jobs.get(begun.id, EXPORT_WAIT_S)
    if job.status == "failed":
        raise failure_of(job.kind, job.error_code, job.error)
    return Answer.model_validate(_export(job))


@FINSIGHT.endpoint("GET", "api/v1/export/{export_id}", permission="read")
async def get_export(services: Services, caller: Caller, export_id: ExportId) -> Answer:
    """Get export job status."""
    return Answer.model_validate(_export(await job_of(services, caller, export_id, "export", "read")))


@FINSIGHT.endpoint("POST", "api/v1/registry/register", permission="register", status=201)
async def register_model(services: Services, caller: Caller, body: RegisterIn) -> Answer:
    """Register a model; one that was not exported yet is exported first."""
    run = await services.model_exports.run_in(body.model_path, caller)
    if str(body.run_id) not in (str(run.id), mlflow_id(run.tags)):
        reason = f"the model in '{body.model_path}' is of run {run.id}"
        raise InvalidInput(
            f"Run '{str(body.run_id)[:100]}' is another one: {reason}.",
            [{"field": "run_id", "reason": reason}],
        )
    try:
        if run.bundle is None:
            begun = await services.model_exports.begin(run.id, NewModelExport(compare=False), caller)
            done = await services.jobs.get(begun.id, EXPORT_WAIT_S)
            if done.status != "finished":
                raise RegistryFailed(f"The model could not be exported: {done.error or 'it took too long'}")
        tags = body.tags or ()
        listed = [f"{key}={value}" for key, value in tags.items()] if isinstance(tags, dict) else tags
        new = NewModelVersion(
            name=body.name,
            run_id=run.id,
            stage=body.stage,
            description=body.description or "",
            tags=tuple(listed),
            metadata=body.metadata or {},
        )
        version = await services.models.register(new, caller)
    except InvalidData as error:
        raise RegistryFailed(error.message) from error
    return Answer.model_validate({**_version(version), "registered_at": time_of(version.created_at)})


@FINSIGHT.endpoint("GET", "api/v1/registry/models", permission="read")
async def list_models(
    services: Services,
    caller: Caller,
    stage: Stage | None = None,
    name: str | None = None,
    limit: PageSize = 20,
    offset: Offset = 0,
) -> Answer:
    """List registered models: their versions, the newest first."""
    page = await services.models.every_version(caller, name, stage, limit, offset)
    items = [
        {
            **_version(version),
            "id": f"model-{version.id}",
            "name": version.model,
            "version": f"{version.version}.0.0",
            "version_number": version.version,
            "description": version.description,
            "tags": {key: value for key, _, value in (tag.partition("=") for tag in version.tags)},
            "metadata": version.metadata,
            "run_id": str(version.run_id),
            "metrics": figures_of(version.metrics),
            "created_at": time_of(version.created_at),
        }
        for version in page.items
    ]
    return page_of(items, page.total, limit, offset)


@FINSIGHT.endpoint("PUT", "api/v1/registry/models/{name}/versions/{version}/stage", permission="register")
async def transition_stage(
    services: Services, caller: Caller, name: str, version: int, body: StageIn
) -> Answer:
    """Transition model stage."""
    change = StageChange(stage=body.stage, comment=body.comment or "")
    changed = await services.models.change_stage(name, version, change, caller)
    return Answer.model_validate(
        {**_version(changed), "comment": change.comment, "updated_at": time_of(utc_now())}
    )


@FINSIGHT.endpoint("DELETE", "api/v1/registry/models/{name}/versions/{version}", permission="register")
async def delete_version(services: Services, caller: Caller, name: str, version: int) -> Answer:
    """Delete model version; one that is deployed is not."""
    gone = await services.models.delete_version(name, version, caller)
    return Answer.model_validate({"model_name": gone.model, "version": gone.version, "deleted": True})


@FINSIGHT.socket("ws/export/{export_id}", permission="read")
async def watch_export(services: Services, caller: Caller, export_id: ExportId) -> Subscription:
    """How an export goes on, and how it ends."""
    job = await job_of(services, caller, export_id, "export", "read")

    def said(told: Mapping[str, Any]) -> dict[str, Any]:
        name = f"export-job-{export_id}"
        return {**said_of("export_status", name, told), "export_id": name}

    def say(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if message["type"] == "event" and message["event"].payload.get("job_id") == export_id:
            yield said({"export_id": f"export-job-{export_id}", **news_of(message["event"])})

    return Subscription(frozenset({f"project:{job.project_id}"}), say, (said(_export(job)),))


def _export(job: Job) -> dict[str, Any]:
    folder = str(job.params.get("output") or DEFAULT_EXPORT_FOLDER)
    told: dict[str, Any] = {
        "export_id": f"export-job-{job.id}",
        "model_path": job.params.get("source"),
        "output_path": folder,
        "format": ",".join(job.params["formats"]),
        "status": STATUS[job.status],
        "validation_passed": None,
        **told_failure(job.kind, job.status, job.error_code, job.error),
    }
    if job.status == "finished":
        made = ModelExport.model_validate(job.result)
        told |= {
            "output_path": f"{folder}/{made.main.path}",
            "validation_passed": True if made.validated else None,
            "file_size": size_of(made.main.bytes),
            "files": [
                {
                    **one.model_dump(mode="json"),
                    "path": f"{folder}/{one.path}",
                    "file_size": size_of(one.bytes),
                }
                for one in made.files
            ],
            "source_accuracy": made.source_accuracy,
            "notes": made.notes,
            "report_path": f"{folder}/export_report.json",
            "exported_at": time_of(made.created_at),
        }
    return told


def _version(version: ModelVersion) -> dict[str, Any]:
    return {
        "model_name": version.model,
        "version": version.version,
        "stage": version.stage,
        "model_uri": f"models:/{version.model}/{version.version}",
    }
