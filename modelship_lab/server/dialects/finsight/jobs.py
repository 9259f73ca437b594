"""Jobs in the document's words: their state, and what sockets say of them."""

from collections.abc import Mapping
from typing import Any, Literal

from modelship_lab.records.base import utc_now
from modelship_lab.records.errors import (
    ExportFailed,
    LabError,
    NotFound,
    TrainingFailed,
    error_from_code,
)
from modelship_lab.records.identity import Permission
from modelship_lab.records.jobs import Job
from modelship_lab.server.api.services import Services
from modelship_lab.server.dialects.finsight.dialect import code_of
from modelship_lab.server.dialects.finsight.words import time_of
from modelship_lab.server.identity.policy import Caller

STATUS = {
    "waiting": "pending",
    "running": "running",
    "finished": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""From the lab's word to the document's."""

_FAILURES: dict[str, type[LabError]] = {"training": TrainingFailed, "export": ExportFailed}

_EVENT_STATUS = {
    "job.created": "pending",
    "job.started": "running",
    "job.progress": "running",
    "job.finished": "completed",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
}


async def job_of(
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


def said_of(kind: str, job: str, told: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "job_id": job, "data": dict(told), "timestamp": time_of(utc_now())}


def failure_of(kind: str, error_code: str, error: str) -> LabError:
    """What a job has failed with: one of its kind's own error where the document has no code for the cause."""
    failure = error_from_code(error_code, error)
    return failure if code_of(failure) else _FAILURES[kind](error)


def told_failure(kind: str, status: str, error_code: str, error: str) -> dict[str, str | None]:
    """What is told of how a job failed."""
    if status != "failed":
        # What a run says that has failed a moment before its job.
        return {"error": None, "error_code": None}
    return {"error": error, "error_code": code_of(failure_of(kind, error_code, error))}


def news_of(event: Any) -> dict[str, Any]:
    news: dict[str, Any] = {"status": _EVENT_STATUS.get(event.type, "running")}
    news["percentage"] = round(100 * event.payload.get("progress", 0.0), 1)
    if event.type == "job.failed":
        payload = event.payload
        news |= told_failure(payload["kind"], "failed", payload["error_code"], payload["error"])
    return news
