"""The API of FinSight's model builder, as its documentation has it.

- A training is a job of the project that has its experiment's name; `mlflow_run_id` is the id of its run, and once
  that is mirrored to an MLflow server, MLflow's. A model is registered by either.
- Paths are those of the lab's workspace. A model is the folder `model` that a training has written.
- A version `1` is `1.0.0` in a listing.
- An export is answered when it is done, or after `EXPORT_WAIT_S`, when it is asked for or heard of.
- A file that cannot be learned from is `valid: false` where it is validated, and a VALIDATION_ERROR where it is
  to be trained on; one that cannot be read at all is a DATA_ERROR.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from modelship_lab.records.base import Name, Record, Title, UtcTime, utc_now
from modelship_lab.records.data_check import LABEL_COLUMN, TEXT_COLUMN, DataCheck
from modelship_lab.records.errors import (
    Conflict,
    ExportFailed,
    InvalidData,
    InvalidInput,
    LabError,
    NotFound,
    PermissionDenied,
    TooManyRequests,
    TrainingFailed,
    Unauthenticated,
)
from modelship_lab.records.identity import ApiKey, NewApiKey, Permission
from modelship_lab.records.jobs import ENDED, LOG_LEVELS, Job, LogLevel, NewModelExport, NewTraining
from modelship_lab.records.model_export import ModelExport, model_formats
from modelship_lab.records.registry import ModelVersion, NewModelVersion, Stage, StageChange
from modelship_lab.records.tracking import mlflow_id
from modelship_lab.records.training_config import TrainingConfig
from modelship_lab.server.api.dialect import Dialect, Subscription
from modelship_lab.server.api.endpoint import Dressed, Endpoint, InvalidRequest, Offset, PageSize
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.limits import Limit
from modelship_lab.server.identity.policy import Caller
from modelship_lab.version import __version__

DEFAULT_EXPERIMENT = "sentiment-analysis"
DEFAULT_EXPORT_FOLDER = "exported"
EXPORT_WAIT_S = 45.0
REGISTER_WAIT_S = 300.0

TrainingId = Annotated[int, Dressed("training-job-")]
ExportId = Annotated[int, Dressed("export-job-")]
KeyId = Annotated[int, Dressed("key-id-")]

_STATUS = {
    "waiting": "pending",
    "running": "running",
    "finished": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""From the lab's word to the document's."""

_CODES: tuple[tuple[type[LabError], str], ...] = (
    (InvalidData, "DATA_ERROR"),
    (InvalidInput, "VALIDATION_ERROR"),
    (Unauthenticated, "AUTHENTICATION_ERROR"),
    (PermissionDenied, "AUTHORIZATION_ERROR"),
    (NotFound, "RESOURCE_NOT_FOUND"),
    (Conflict, "RESOURCE_CONFLICT"),
    (TrainingFailed, "TRAINING_ERROR"),
    (ExportFailed, "EXPORT_ERROR"),
    (TooManyRequests, "RATE_LIMITED"),
)

_FIGURES = {"test_accuracy": "accuracy", "test_macro_f1": "f1_score"}
_TOLD = ("train_loss", "val_loss", "val_accuracy", "val_f1")

_MESSAGES = {
    "health": "Service is healthy",
    "status": "Service status retrieved successfully",
    "generate_key": "API key generated; it is shown this once",
    "list_keys": "API keys retrieved successfully",
    "revoke_key": "API key revoked",
    "start_training": "Training job started",
    "get_training": "Training status retrieved successfully",
    "get_training_logs": "Training logs retrieved successfully",
    "cancel_training": "Training job is being cancelled",
    "export_model": "Model export accepted",
    "get_export": "Export status retrieved successfully",
    "register_model": "Model registered successfully",
    "list_models": "Models retrieved successfully",
    "transition_stage": "Model stage changed successfully",
    "delete_version": "Model version deleted successfully",
    "validate_data": "Dataset examined",
    "report_data": "Dataset report generated",
}


class _RegistryFailed(LabError):
    code = "REGISTRY_ERROR"


class Body(Record):
    """What a client sends: unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore")


class KeyIn(Body):
    name: str = Field(min_length=1, max_length=200)
    permissions: tuple[Permission, ...] | None = None
    expires_at: UtcTime | None = None


class TrainingIn(Body):
    data_path: str = Field(min_length=1, max_length=1000)
    output_dir: str | None = Field(default=None, min_length=1, max_length=1000)
    experiment_name: Title = DEFAULT_EXPERIMENT
    config: TrainingConfig = TrainingConfig()
    resume_from: str | None = Field(default=None, min_length=1, max_length=1000)
    log_level: LogLevel = "INFO"


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


class DataIn(Body):
    data_path: str = Field(min_length=1, max_length=1000)
    format: str | None = Field(default=None, max_length=20)
    text_column: str = Field(default=TEXT_COLUMN, min_length=1, max_length=500)
    label_column: str = Field(default=LABEL_COLUMN, min_length=1, max_length=500)


class ReportIn(DataIn):
    output_path: str = Field(default="data_report.html", min_length=1, max_length=1000)


class Answer(Record):
    """What an endpoint answers, in the document's words."""

    model_config = ConfigDict(extra="allow")


# Errors and the envelope --------------------------------------------------------------------------


def _error(error: LabError, request_id: str) -> tuple[int, Any, Mapping[str, str]]:
    code = next((code for kind, code in _CODES if isinstance(error, kind)), error.code)
    status = 500 if code == "DATA_ERROR" else error.status
    details: dict[str, Any] = {}
    problems = [
        {"field": str(one.get("field", "")).rpartition(".")[2], "issue": str(one.get("reason", ""))}
        for one in error.details
        if "reason" in one
    ]
    if problems:
        details = {**problems[0], "problems": problems}
    if isinstance(error, InvalidRequest) and problems:
        details["path"] = str(error.details[0].get("field", ""))
    body = {
        "success": False,
        "error": {"code": code, "message": error.message, "details": details},
        "correlation_id": request_id,
        "timestamp": _time(utc_now()),
    }
    return status, body, {}


def _envelope(answer: Any, endpoint: Endpoint, request_id: str) -> Any:
    return {
        "success": True,
        "data": answer,
        "message": _MESSAGES.get(endpoint.name, endpoint.summary),
        "correlation_id": request_id,
        "timestamp": _time(utc_now()),
    }


_ENVELOPE: dict[str, Any] = {
    "success": {"type": "boolean"},
    "correlation_id": {"type": "string"},
    "timestamp": {"type": "string"},
}

FINSIGHT = Dialect(
    name="finsight",
    title="FinSight Model Builder",
    version="1.0.0",
    error=_error,
    error_schema={
        "type": "object",
        "required": ["success", "error", "correlation_id", "timestamp"],
        "properties": {
            **_ENVELOPE,
            "error": {
                "type": "object",
                "required": ["code", "message", "details"],
                "properties": {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "details": {"type": "object"},
                },
            },
        },
    },
    envelope=_envelope,
    envelope_schema=lambda answer: {
        "type": "object",
        "required": ["success", "data", "message", "correlation_id"],
        "properties": {**_ENVELOPE, "data": answer, "message": {"type": "string"}},
    },
    limits={"default": (Limit(1200, 60),)},
    lenient=True,
)

# Health and status --------------------------------------------------------------------------------


@FINSIGHT.endpoint("GET", "api/v1/health", permission=None)
async def health(services: Services) -> Answer:
    """Check service health and dependencies."""
    state = await services.machine.state()
    mlflow = await services.machine.has_mlflow()
    storage = await services.machine.is_storage_writable()
    return Answer.model_validate(
        {
            "status": "healthy" if storage and mlflow is not False else "degraded",
            "timestamp": _time(utc_now()),
            "version": __version__,
            "dependencies": {
                "mlflow": {None: "not configured", True: "connected", False: "disconnected"}[mlflow],
                "gpu": "unavailable" if state.gpu_percent is None else "available",
                "storage": "accessible" if storage else "inaccessible",
            },
        }
    )


@FINSIGHT.endpoint("GET", "api/v1/status", permission="read")
async def status(services: Services, caller: Caller) -> Answer:
    """Get detailed service status."""
    state = await services.machine.state()
    active = await services.jobs.everybodys("training", "running", 1, 0, caller)
    return Answer.model_validate(
        {
            "service": "sentiment-model-builder",
            "version": __version__,
            "uptime": _duration((utc_now() - services.info.started_at).total_seconds(), seconds_too=True),
            "active_training_jobs": active.total,
            "gpu_utilization": state.gpu_percent,
            "memory_usage": _share(state.memory_used, state.memory_total),
            "disk_usage": _share(state.disk_used, state.disk_total),
        }
    )


# Keys ---------------------------------------------------------------------------------------------


@FINSIGHT.endpoint("POST", "api/v1/auth/generate-key", permission="admin", status=201)
async def generate_key(services: Services, caller: Caller, body: KeyIn) -> Answer:
    """Generate a new API key."""
    new = NewApiKey(name=body.name, permissions=body.permissions, expires_at=body.expires_at)
    made = await services.keys.create(new, caller)
    return Answer.model_validate({**_key(made), "key": made.key, "api_key": made.key})


@FINSIGHT.endpoint("GET", "api/v1/auth/keys", permission="admin")
async def list_keys(services: Services, caller: Caller, limit: PageSize = 100, offset: Offset = 0) -> Answer:
    """List the API keys that are active."""
    page = services.keys.page(caller, True, 10**6, 0)
    active = [
        key
        for key in page.items
        if key.revoked_at is None and (key.expires_at is None or key.expires_at > utc_now())
    ]
    items = [_key(key) for key in active[offset : offset + limit]]
    return _page(items, len(active), limit, offset)


@FINSIGHT.endpoint("DELETE", "api/v1/auth/keys/{key_id}", permission="admin")
async def revoke_key(services: Services, caller: Caller, key_id: KeyId) -> Answer:
    """Revoke an API key."""
    await services.keys.revoke(key_id, caller)
    return Answer.model_validate({"id": f"key-id-{key_id}", "revoked": True})


# Training -----------------------------------------------------------------------------------------


@FINSIGHT.endpoint("POST", "api/v1/training/start", permission="train", status=201)
async def start_training(services: Services, caller: Caller, body: TrainingIn) -> Answer:
    """Start a new training job."""
    config, moment = body.config, utc_now()
    output = body.output_dir or f"outputs/{_plain(body.experiment_name)}_{moment:%Y%m%d_%H%M%S_%f}"
    new = NewTraining(
        recipe=config.recipe,
        options=config.options(),
        name=body.experiment_name,
        output=output,
        resume=body.resume_from,
        log_level=body.log_level,
    )
    columns = config.preprocessing
    started, check = await services.experiments.train(
        body.data_path, body.experiment_name, new, caller, columns.text_column, columns.label_column
    )
    return Answer.model_validate(
        {
            "job_id": f"training-job-{started.job.id}",
            "status": "started",
            "estimated_duration": _duration(_guess_s(config, check)),
            "mlflow_run_id": str(started.run.id),
            "output_dir": output,
            "model_path": f"{output}/model",
            "created_at": _time(started.job.created_at),
        }
    )


@FINSIGHT.endpoint("GET", "api/v1/training/{job_id}", permission="read")
async def get_training(services: Services, caller: Caller, job_id: TrainingId) -> Answer:
    """Get training job status and progress."""
    job = await _job(services, caller, job_id, "training", "read")
    return Answer.model_validate(await _training(services, caller, job))


@FINSIGHT.endpoint("GET", "api/v1/training/{job_id}/logs", permission="read")
async def get_training_logs(
    services: Services,
    caller: Caller,
    job_id: TrainingId,
    level: LogLevel | None = None,
    limit: PageSize = 100,
    offset: Offset = 0,
) -> Answer:
    """Get training job logs, the oldest first; of a level alone, if one is named."""
    await _job(services, caller, job_id, "training", "read")
    levels = LOG_LEVELS if level is None else (level,)
    page = await services.jobs.logs(job_id, levels, limit, offset)
    logs = [
        {"timestamp": _time(line.time), "level": line.level, "message": line.message} for line in page.items
    ]
    return Answer.model_validate(
        {
            "job_id": f"training-job-{job_id}",
            "logs": logs,
            "total": page.total,
            "limit": limit,
            "offset": offset,
        }
    )


@FINSIGHT.endpoint("DELETE", "api/v1/training/{job_id}", permission="train")
async def cancel_training(services: Services, caller: Caller, job_id: TrainingId) -> Answer:
    """Cancel a training job: it saves a checkpoint first."""
    await _job(services, caller, job_id, "training", "train")
    job = await services.jobs.cancel(job_id)
    told = _STATUS[job.status] if job.status in ENDED else "cancelling"
    return Answer.model_validate({"job_id": f"training-job-{job_id}", "status": told})


# Export -------------------------------------------------------------------------------------------


@FINSIGHT.endpoint("POST", "api/v1/export", permission="export", status=201)
async def export_model(services: Services, caller: Caller, body: ExportIn) -> Answer:
    """Export a trained model."""
    formats = model_formats(body.format)
    run = await services.model_exports.run_in(body.model_path, caller)
    new = NewModelExport(
        formats=formats, output=body.output_dir, optimize=body.optimize, compare=body.compare
    )
    begun = await services.model_exports.begin(run.id, new, caller)
    job = await services.jobs.get(begun.id, EXPORT_WAIT_S)
    if job.status == "failed":
        raise ExportFailed(job.error)
    return Answer.model_validate(_export(job, body.model_path))


@FINSIGHT.endpoint("GET", "api/v1/export/{export_id}", permission="read")
async def get_export(services: Services, caller: Caller, export_id: ExportId) -> Answer:
    """Get export job status."""
    return Answer.model_validate(_export(await _job(services, caller, export_id, "export", "read")))


# Registry -----------------------------------------------------------------------------------------


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
            done = await services.jobs.get(begun.id, REGISTER_WAIT_S)
            if done.status != "finished":
                raise _RegistryFailed(f"The model could not be exported: {done.error or 'it took too long'}")
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
        raise _RegistryFailed(error.message) from error
    return Answer.model_validate({**_version(version), "registered_at": _time(version.created_at)})


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
            "tags": version.tags,
            "metadata": version.metadata,
            "run_id": str(version.run_id),
            "metrics": _figures(version.metrics),
            "created_at": _time(version.created_at),
        }
        for version in page.items
    ]
    return _page(items, page.total, limit, offset)


@FINSIGHT.endpoint("PUT", "api/v1/registry/models/{name}/versions/{version}/stage", permission="register")
async def transition_stage(
    services: Services, caller: Caller, name: str, version: int, body: StageIn
) -> Answer:
    """Transition model stage."""
    change = StageChange(stage=body.stage, comment=body.comment or "")
    changed = await services.models.change_stage(name, version, change, caller)
    return Answer.model_validate(
        {**_version(changed), "comment": change.comment, "updated_at": _time(utc_now())}
    )


@FINSIGHT.endpoint("DELETE", "api/v1/registry/models/{name}/versions/{version}", permission="register")
async def delete_version(services: Services, caller: Caller, name: str, version: int) -> Answer:
    """Delete model version; one that is deployed is not."""
    gone = await services.models.delete_version(name, version, caller)
    return Answer.model_validate({"model_name": gone.model, "version": gone.version, "deleted": True})


# Data ---------------------------------------------------------------------------------------------


@FINSIGHT.endpoint("POST", "api/v1/data/validate", permission="train")
async def validate_data(services: Services, caller: Caller, body: DataIn) -> Answer:
    """Validate dataset format and content."""
    check = await services.data_files.check(
        body.data_path, caller, body.format, body.text_column, body.label_column
    )
    return Answer.model_validate(_check(check))


@FINSIGHT.endpoint("POST", "api/v1/data/report", permission="train")
async def report_data(services: Services, caller: Caller, body: ReportIn) -> Answer:
    """Generate dataset analysis report: a page of HTML."""
    report = await services.data_files.report(
        body.data_path, body.output_path, caller, body.format, body.text_column, body.label_column
    )
    return Answer.model_validate(
        {
            **_check(report.check),
            "output_path": report.output,
            "duplicates": report.duplicates,
            "near_duplicates": report.near_duplicates,
            "contradictions": report.contradictions,
            "leakage": report.leaking,
            "languages": report.languages,
            "likely_label_errors": report.likely_label_errors,
            "generated_at": _time(report.created_at),
        }
    )


# Sockets ------------------------------------------------------------------------------------------


@FINSIGHT.socket("ws/training/{job_id}", permission="read")
async def watch_training(services: Services, caller: Caller, job_id: TrainingId) -> Subscription:
    """How a training goes on: its newest figures, and how it ends."""
    job = await _job(services, caller, job_id, "training", "read")
    now = await _training(services, caller, job)
    told = {
        "epoch": job.epoch,
        "step": job.step,
        "total_steps": job.steps,
        **now["metrics"],
        "status": now["status"],
    }
    topics = frozenset({f"run:{job.run_id}", f"project:{job.project_id}"})

    def say(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if message["type"] == "metrics":
            news = _newest(message)
        elif message["type"] == "event" and message["event"].payload.get("job_id") == job_id:
            news = _of_event(message["event"])
        else:
            return
        if news:
            told.update(news)
            yield _said("progress_update", f"training-job-{job_id}", told)

    return Subscription(topics, say, (_said("progress_update", f"training-job-{job_id}", told),))


@FINSIGHT.socket("ws/export/{export_id}", permission="read")
async def watch_export(services: Services, caller: Caller, export_id: ExportId) -> Subscription:
    """How an export goes on, and how it ends."""
    job = await _job(services, caller, export_id, "export", "read")

    def said(told: Mapping[str, Any]) -> dict[str, Any]:
        name = f"export-job-{export_id}"
        return {**_said("export_status", name, told), "export_id": name}

    def say(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if message["type"] == "event" and message["event"].payload.get("job_id") == export_id:
            yield said({"export_id": f"export-job-{export_id}", **_of_event(message["event"])})

    return Subscription(frozenset({f"project:{job.project_id}"}), say, (said(_export(job)),))


def _said(kind: str, job: str, told: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "job_id": job, "data": dict(told), "timestamp": _time(utc_now())}


def _newest(message: Mapping[str, Any]) -> dict[str, Any]:
    """The last value of each figure of a batch of points."""
    news: dict[str, Any] = {}
    for series in message["series"]:
        if series["name"] in (*_TOLD, "epoch") and series["values"] and not series.get("context"):
            value = series["values"][-1]
            news[series["name"]] = int(value) if series["name"] == "epoch" and value is not None else value
            news["step"] = max(news.get("step", 0), series["steps"][-1])
    return news


_EVENT_STATUS = {
    "job.created": "pending",
    "job.started": "running",
    "job.progress": "running",
    "job.finished": "completed",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
}


def _of_event(event: Any) -> dict[str, Any]:
    news = {"status": _EVENT_STATUS.get(event.type, "running")}
    news["percentage"] = round(100 * event.payload.get("progress", 0.0), 1)
    if event.payload.get("error"):
        news["error"] = event.payload["error"]
    return news


# In the document's words --------------------------------------------------------------------------


async def _job(
    services: Services,
    caller: Caller,
    job_id: int,
    kind: Literal["training", "export"],
    permission: Permission,
) -> Job:
    """A job of a kind, if the caller may do this with it.

    Raises:
        NotFound: there is none for the caller.
    """
    told = f"{kind} job {job_id}"
    job = await services.jobs.get(job_id)
    if job.kind != kind:
        raise NotFound(f"There is no {told}.")
    services.projects.require(job.project_id or 0, caller, permission, told)
    return job


async def _training(services: Services, caller: Caller, job: Job) -> dict[str, Any]:
    assert job.run_id is not None
    run = await services.runs.get(job.run_id, caller)
    page = await services.series.summary(job.run_id, caller)
    last = {one.name: one.last for one in page.items if not one.context and one.name in _TOLD}
    output = job.params.get("output")
    return {
        "job_id": f"training-job-{job.id}",
        "status": _STATUS[job.status],
        "progress": {
            "current_epoch": job.epoch or 0,
            "total_epochs": job.epochs or 0,
            "current_step": job.step or 0,
            "total_steps": job.steps or 0,
            "percentage": round(100 * job.progress, 1),
        },
        "metrics": {**last, **_figures(run.summary)},
        "estimated_completion": None if job.estimated_end_at is None else _time(job.estimated_end_at),
        "mlflow_run_id": mlflow_id(run.tags) or str(job.run_id),
        "output_dir": output,
        "model_path": None if output is None else f"{output}/model",
        "error": job.error or run.error or None,
        "created_at": _time(job.created_at),
        "updated_at": _time(job.ended_at or run.updated_at),
    }


def _figures(summary: Mapping[str, float]) -> dict[str, float]:
    return {_FIGURES.get(name, name): value for name, value in summary.items()}


def _export(job: Job, model_path: str | None = None) -> dict[str, Any]:
    folder = str(job.params.get("output") or DEFAULT_EXPORT_FOLDER)
    told: dict[str, Any] = {
        "export_id": f"export-job-{job.id}",
        "model_path": model_path,
        "output_path": folder,
        "format": ",".join(job.params["formats"]),
        "status": _STATUS[job.status],
        "validation_passed": None,
        "error": job.error or None,
    }
    if job.status == "finished":
        made = ModelExport.model_validate(job.result)
        told |= {
            "output_path": f"{folder}/{made.main.path}",
            "validation_passed": True if made.validated else None,
            "file_size": _size(made.main.bytes),
            "files": [
                {**one.model_dump(mode="json"), "path": f"{folder}/{one.path}", "file_size": _size(one.bytes)}
                for one in made.files
            ],
            "source_accuracy": made.source_accuracy,
            "notes": made.notes,
            "report_path": f"{folder}/export_report.json",
            "exported_at": _time(made.created_at),
        }
    return told


def _version(version: ModelVersion) -> dict[str, Any]:
    return {
        "model_name": version.model,
        "version": version.version,
        "stage": version.stage,
        "model_uri": f"models:/{version.model}/{version.version}",
    }


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": f"key-id-{key.id}",
        "key_id": f"key-id-{key.id}",
        "name": key.name,
        "prefix": key.prefix,
        "permissions": key.permissions,
        "created_at": _time(key.created_at),
        "expires_at": None if key.expires_at is None else _time(key.expires_at),
    }


def _check(check: DataCheck) -> dict[str, Any]:
    problems = [one.model_dump(mode="json", exclude={"is_error"}) for one in check.problems]
    paired = list(zip(check.problems, problems, strict=True))
    return {
        "valid": check.valid,
        "data_path": check.path,
        "format": check.format,
        "row_count": check.rows,
        "rows": check.rows,
        "columns": check.columns,
        "text_column": check.text_column,
        "label_column": check.label_column,
        "label_distribution": check.classes,
        "errors": [told for problem, told in paired if problem.is_error],
        "warnings": [told for problem, told in paired if not problem.is_error],
    }


def _page(items: list[dict[str, Any]], total: int, limit: int, offset: int) -> Answer:
    pages = -(-total // limit)
    page = offset // limit + 1
    return Answer.model_validate(
        {
            "items": items,
            "pagination": {
                "page": page,
                "per_page": limit,
                "total": total,
                "total_pages": pages,
                "has_next": offset + limit < total,
                "has_prev": offset > 0,
            },
        }
    )


def _guess_s(config: TrainingConfig, check: DataCheck) -> float:
    """About how long a training takes on two processors: it begins, it passes over the rows."""
    rows_per_s = 20_000.0 if config.training.backbone is None else 15.0
    return 20.0 + check.rows * (config.training.num_epochs or 15) / rows_per_s


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float, *, seconds_too: bool = False) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m {rest}s" if seconds_too else f"{hours}h {max(minutes, 0 if hours else 1)}m"


def _share(used: int, total: int) -> str:
    return f"{used / 2**30:.1f}GB / {total / 2**30:.1f}GB"


def _size(size: int) -> str:
    return f"{size / 1e6:.1f}MB" if size >= 100_000 else f"{size / 1e3:.1f}KB"


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:100]
