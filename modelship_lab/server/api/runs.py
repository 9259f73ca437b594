"""Runs, their artifacts and bundle."""

import asyncio

from pydantic import ValidationError

from modelship_lab.records.base import Page
from modelship_lab.records.bundle import BundleManifest
from modelship_lab.records.errors import InvalidData, NotFound
from modelship_lab.records.evaluation import Evaluation, Significance
from modelship_lab.records.tracking import (
    DeletedRuns,
    Heartbeat,
    NewRun,
    ResumedRun,
    ResumeRun,
    Run,
    RunChange,
    RunStatus,
    WantedRuns,
)
from modelship_lab.server.api.endpoint import (
    FileContent,
    Offset,
    PageSize,
    Request,
    Table,
    Upload,
    endpoint,
)
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.tracking.significance import FILE, significance


@endpoint("POST", "runs", permission="train", status=201)
async def create_run(services: Services, caller: Caller, body: NewRun) -> Run:
    """Start a run."""
    return await services.runs.create(body, caller)


@endpoint("GET", "runs", permission="read")
async def list_runs(
    services: Services,
    caller: Caller,
    request: Request,
    project: str | None = None,
    status: RunStatus | None = None,
    parent_id: int | None = None,
    group: str | None = None,
    limit: PageSize = 100,
    offset: Offset = 0,
) -> Page[Run] | Table:
    """The caller's and public runs, the newest first; all of them as an Arrow table when that is accepted."""
    wanted = WantedRuns(project=project, status=status, parent_id=parent_id, group=group)
    if request.wants_arrow:
        return Table(await services.runs.table(wanted, caller))
    return await services.runs.page(wanted, limit, offset, caller)


@endpoint("GET", "runs/{run_id}", permission="read")
async def read_run(services: Services, caller: Caller, run_id: int) -> Run:
    """One run."""
    return await services.runs.get(run_id, caller)


@endpoint("PATCH", "runs/{run_id}", permission="train")
async def change_run(services: Services, caller: Caller, run_id: int, body: RunChange) -> Run:
    """Change fields of a run; params and summary are merged into what is there."""
    return await services.runs.change(run_id, body, caller)


@endpoint("DELETE", "runs/{run_id}", permission="train")
async def delete_run(services: Services, caller: Caller, run_id: int) -> DeletedRuns:
    """Delete a run and all that are nested in it, with their metrics and artifacts."""
    return await services.runs.delete(run_id, caller)


@endpoint("POST", "runs/{run_id}/stop", permission="train")
async def stop_run(services: Services, caller: Caller, run_id: int) -> Run:
    """Ask a running run to end cleanly with a checkpoint."""
    return await services.runs.stop(run_id, caller)


@endpoint("POST", "runs/{run_id}/resume", permission="train")
async def resume_run(services: Services, caller: Caller, run_id: int, body: ResumeRun) -> ResumedRun:
    """Go on with a run that has ended, or whose process is gone or not heard of."""
    return await services.runs.resume(run_id, body, caller)


@endpoint("POST", "runs/{run_id}/heartbeat", permission="train")
async def run_heartbeat(services: Services, caller: Caller, run_id: int) -> Heartbeat:
    """Say that the process of a run lives, and hear whether it should stop."""
    return await services.heartbeats.heartbeat(run_id, caller)


@endpoint("GET", "runs/{run_id}/evaluation", permission="read")
async def read_evaluation(services: Services, caller: Caller, run_id: int) -> Evaluation:
    """How a run's model did on its held-out rows."""
    _, path = await services.artifacts.find(run_id, "evaluation.json", caller)
    try:
        return Evaluation.model_validate_json(await asyncio.to_thread(path.read_bytes))
    except ValidationError:
        raise InvalidData(f"The artifact 'evaluation.json' of run {run_id} is not an evaluation.") from None


@endpoint("GET", "runs/{run_id}/significance", permission="read")
async def read_significance(services: Services, caller: Caller, run_id: int, other: int) -> Significance:
    """How another run's model differs from this one's on the samples that were held out in both."""
    files = [(await services.artifacts.find(one, FILE, caller))[1] for one in (run_id, other)]
    return await asyncio.to_thread(significance, run_id, files[0], other, files[1])


@endpoint("PUT", "runs/{run_id}/bundle", permission="export", status=201)
async def save_bundle(services: Services, caller: Caller, run_id: int, upload: Upload) -> BundleManifest:
    """Store the exported bundle of a run, given as an uncompressed tar of its files."""
    await services.runs.get(run_id, caller, "export")
    digest, manifest = await asyncio.to_thread(services.bundles.add, upload.path)
    await services.runs.set_bundle(run_id, digest, caller)
    return manifest


@endpoint("GET", "runs/{run_id}/bundle", permission="read")
async def read_bundle(services: Services, caller: Caller, run_id: int) -> FileContent:
    """The bundle of a run as an uncompressed tar."""
    run = await services.runs.get(run_id, caller)
    if run.bundle is None:
        raise NotFound(f"Run {run_id} has no bundle yet: export it first.")
    tar = await asyncio.to_thread(services.bundles.tar, run.bundle)
    return FileContent(tar, "application/x-tar", attachment=f"run-{run_id}.tar", temporary=True)
