"""Training and exporting models in the background."""

from modelship_lab.records.jobs import Job, NewModelExport, NewTraining, TrainingStarted
from modelship_lab.server.api.endpoint import endpoint
from modelship_lab.server.api.services import Services
from modelship_lab.server.identity.policy import Caller


@endpoint("POST", "projects/{project}/trainings", permission="train", status=202)
async def begin_training(
    services: Services, caller: Caller, project: str, body: NewTraining
) -> TrainingStarted:
    """Train a model on the labels of a project, as a job that outlives the kernel, the browser and the server."""
    return await services.trainings.begin(services.projects.get(project, caller), body, caller)


@endpoint("POST", "runs/{run_id}/exports", permission="export", status=202)
async def begin_model_export(services: Services, caller: Caller, run_id: int, body: NewModelExport) -> Job:
    """Export a run's model as a job."""
    return await services.model_exports.begin(run_id, body, caller)
