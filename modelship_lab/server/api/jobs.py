"""Help from models over HTTP: background jobs, embeddings, and how far automatic labels can be trusted."""

from modelship_lab.records.base import Page, Seconds
from modelship_lab.records.identity import Permission
from modelship_lab.records.jobs import LOG_LEVELS, Job, JobKind, JobStatus, LogLevel, LogLine, NewJob
from modelship_lab.records.labeling import AuditReport, Fraction, Thresholds
from modelship_lab.server.api.endpoint import ARROW, FileContent, Offset, PageSize, endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller

MAX_WAIT_S = 60


@endpoint("POST", "projects/{project}/jobs", permission="label", status=202)
async def begin_job(services: Services, caller: Caller, project: str, body: NewJob) -> Job:
    """Begin a job of a project. It runs in the background: ask for it to see how it goes, or hear its events."""
    found = services.projects.get(project, caller)
    if body.kind == "light_model":
        return await services.light_model.begin(found, body.everything, caller)
    if body.kind == "label_errors":
        return await services.label_errors.begin(found, caller)
    return await services.embeddings.begin(found, body.encoder, caller)


@endpoint("GET", "projects/{project}/jobs", permission="read")
async def list_jobs(
    services: Services, caller: Caller, project: str, limit: PageSize = 100, offset: Offset = 0
) -> Page[Job]:
    """The jobs of a project, the newest first."""
    found = services.projects.get(project, caller)
    return await services.jobs.page(found.id, limit, offset)


@endpoint("GET", "jobs/{job_id}", permission="read")
async def read_job(services: Services, caller: Caller, job_id: int, wait_s: Seconds = 0) -> Job:
    """One job; with `wait_s`, once it has ended, or after so many seconds."""
    await _require(services, caller, job_id, "read")
    return await services.jobs.get(job_id, min(max(wait_s, 0), MAX_WAIT_S))


@endpoint("GET", "jobs", permission="read")
async def list_all_jobs(
    services: Services,
    caller: Caller,
    kind: JobKind | None = None,
    status: JobStatus | None = None,
    limit: PageSize = 100,
    offset: Offset = 0,
) -> Page[Job]:
    """The jobs of all projects that the caller may see, the newest first."""
    return await services.jobs.everybodys(kind, status, limit, offset, caller)


@endpoint("GET", "jobs/{job_id}/logs", permission="read")
async def read_job_log(
    services: Services,
    caller: Caller,
    job_id: int,
    level: LogLevel = "DEBUG",
    limit: PageSize = 100,
    offset: Offset = 0,
) -> Page[LogLine]:
    """What a job has logged at this level and above, the oldest first."""
    await _require(services, caller, job_id, "read")
    return await services.jobs.logs(job_id, LOG_LEVELS[LOG_LEVELS.index(level) :], limit, offset)


@endpoint("DELETE", "jobs/{job_id}", permission="read")
async def cancel_job(services: Services, caller: Caller, job_id: int) -> Job:
    """End a job that waits or runs. What it has stored until then stays; a training saves a checkpoint first.

    This needs the permission that beginning it needs: `train`, `export` or `label`.
    """
    job = await services.jobs.get(job_id)
    needed: dict[JobKind, Permission] = {"training": "train", "export": "export"}
    await _require(services, caller, job_id, needed.get(job.kind, "label"))
    return await services.jobs.cancel(job_id)


@endpoint("GET", "projects/{project}/embeddings", permission="read")
async def read_embeddings(
    services: Services, caller: Caller, project: str, vectors: bool = False
) -> FileContent:
    """Where the samples lie on the map, as an Arrow table; with `vectors` the embeddings themselves, too."""
    found = services.projects.get(project, caller)
    path = await services.embeddings.write_table(found, vectors, caller)
    return FileContent(path, ARROW, temporary=True)


@endpoint("GET", "projects/{project}/thresholds", permission="read")
async def choose_thresholds(
    services: Services,
    caller: Caller,
    project: str,
    precision: Fraction = 0.95,
    confidence: Fraction | None = None,
) -> Thresholds:
    """From which confidence on suggestions were right as often as wanted, by known answers. Changes nothing.

    With `confidence` it is told of that threshold, whatever its precision. Of each threshold it is said how many
    samples would get an automatic label, and how many would wait for review.
    """
    found = services.projects.get(project, caller)
    return await services.automatic.thresholds(found, precision, caller, confidence)


@endpoint("GET", "projects/{project}/audit", permission="read")
async def read_label_audit(services: Services, caller: Caller, project: str) -> AuditReport:
    """How often automatic labels were wrong in blind audits, by what made them."""
    return await services.automatic.audits(services.projects.get(project, caller), caller)


async def _require(services: Services, caller: Caller, job_id: int, permission: Permission) -> None:
    job = await services.jobs.get(job_id)
    services.projects.require(job.project_id or 0, caller, permission, f"job {job_id}")
