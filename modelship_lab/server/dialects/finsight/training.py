"""Training jobs: begun, watched, read and cancelled."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from modelship_lab.records.base import Title, utc_now
from modelship_lab.records.data_check import DataCheck
from modelship_lab.records.errors import InvalidOptions
from modelship_lab.records.jobs import ENDED, LOG_LEVELS, Job, LogLevel, NewTraining
from modelship_lab.records.tracking import mlflow_id
from modelship_lab.records.training_config import TrainingConfig
from modelship_lab.server.api.dialect import Subscription
from modelship_lab.server.api.endpoint import Dressed, Offset, PageSize
from modelship_lab.server.api.services import Services
from modelship_lab.server.dialects.finsight.dialect import FINSIGHT, ConfigurationFailed
from modelship_lab.server.dialects.finsight.jobs import STATUS, job_of, news_of, said_of, told_failure
from modelship_lab.server.dialects.finsight.words import (
    Answer,
    Body,
    duration,
    figures_of,
    plain,
    time_of,
)
from modelship_lab.server.identity.policy import Caller

DEFAULT_EXPERIMENT = "sentiment-analysis"

TrainingId = Annotated[int, Dressed("training-job-")]


_FIELDS = {"encoder": "backbone", "epochs": "num_epochs", "seed": "random_seed", "precision": "fp16"}
"""From an option of a recipe to the field of the configuration that it comes from."""

_PROGRESS = {"epoch": "epoch", "step": "step", "total_steps": "steps"}
"""From the document's word for how far a training is to the lab's."""

_TOLD = ("train_loss", "val_loss", "val_accuracy", "val_f1")


class TrainingIn(Body):
    data_path: str = Field(min_length=1, max_length=1000)
    output_dir: str | None = Field(default=None, min_length=1, max_length=1000)
    experiment_name: Title = DEFAULT_EXPERIMENT
    config: TrainingConfig = TrainingConfig()
    resume_from: str | None = Field(default=None, min_length=1, max_length=1000)
    log_level: LogLevel = "INFO"


@FINSIGHT.endpoint("POST", "api/v1/training/start", permission="train", status=201)
async def start_training(services: Services, caller: Caller, body: TrainingIn) -> Answer:
    """Start a new training job."""
    config, moment = body.config, utc_now()
    output = body.output_dir or f"outputs/{plain(body.experiment_name)}_{moment:%Y%m%d_%H%M%S_%f}"
    new = NewTraining(
        recipe=config.recipe,
        options=config.options(),
        name=body.experiment_name,
        output=output,
        resume=body.resume_from,
        log_level=body.log_level,
    )
    columns = config.preprocessing
    try:
        started, check = await services.experiments.train(
            body.data_path, body.experiment_name, new, caller, columns.text_column, columns.label_column
        )
    except InvalidOptions as error:
        raise ConfigurationFailed(
            error.message,
            [{**one, "field": _FIELDS.get(one["field"], one["field"])} for one in error.details],
        ) from error
    return Answer.model_validate(
        {
            "job_id": f"training-job-{started.job.id}",
            "status": "started",
            "estimated_duration": duration(_guess_s(config, check)),
            "mlflow_run_id": mlflow_id(started.run.tags) or str(started.run.id),
            "output_dir": output,
            "model_path": f"{output}/model",
            "created_at": time_of(started.job.created_at),
        }
    )


@FINSIGHT.endpoint("GET", "api/v1/training/{job_id}", permission="read")
async def get_training(services: Services, caller: Caller, job_id: TrainingId) -> Answer:
    """Get training job status and progress."""
    job = await job_of(services, caller, job_id, "training", "read")
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
    await job_of(services, caller, job_id, "training", "read")
    levels = LOG_LEVELS if level is None else (level,)
    page = await services.jobs.logs(job_id, levels, limit, offset)
    logs = [
        {"timestamp": time_of(line.time), "level": line.level, "message": line.message} for line in page.items
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
    await job_of(services, caller, job_id, "training", "train")
    job = await services.jobs.cancel(job_id)
    told = STATUS[job.status] if job.status in ENDED else "cancelling"
    return Answer.model_validate({"job_id": f"training-job-{job_id}", "status": told})


@FINSIGHT.socket("ws/training/{job_id}", permission="read")
async def watch_training(services: Services, caller: Caller, job_id: TrainingId) -> Subscription:
    """How a training goes on: its newest figures, and how it ends."""
    job = await job_of(services, caller, job_id, "training", "read")
    now = await _training(services, caller, job)
    told = {
        "epoch": job.epoch,
        "step": job.step,
        "total_steps": job.steps,
        **now["metrics"],
        "status": now["status"],
        "percentage": now["progress"]["percentage"],
        "estimated_completion": now["estimated_completion"],
    }

    def say(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if message["type"] == "event" and message["event"].payload.get("job_id") == job_id:
            payload = message["event"].payload
            told.update({name: payload[key] for name, key in _PROGRESS.items() if key in payload})
            if "estimated_end_at" in payload:
                end_at = payload["estimated_end_at"]
                told["estimated_completion"] = end_at and time_of(datetime.fromisoformat(end_at))
            told.update(payload.get("figures", {}))
            told.update(news_of(message["event"]))
            yield said_of("progress_update", f"training-job-{job_id}", told)

    first = said_of("progress_update", f"training-job-{job_id}", told)
    return Subscription(frozenset({f"project:{job.project_id}"}), say, (first,))


async def _training(services: Services, caller: Caller, job: Job) -> dict[str, Any]:
    assert job.run_id is not None
    run = await services.runs.get(job.run_id, caller)
    page = await services.series.summary(job.run_id, caller)
    last = {one.name: one.last for one in page.items if not one.context and one.name in _TOLD}
    output = job.params.get("output")
    return {
        "job_id": f"training-job-{job.id}",
        "status": STATUS[job.status],
        "progress": {
            "current_epoch": job.epoch or 0,
            "total_epochs": job.epochs or 0,
            "current_step": job.step or 0,
            "total_steps": job.steps or 0,
            "percentage": round(100 * job.progress, 1),
        },
        "metrics": {**last, **figures_of(run.summary)},
        "estimated_completion": None if job.estimated_end_at is None else time_of(job.estimated_end_at),
        "mlflow_run_id": mlflow_id(run.tags) or str(job.run_id),
        "output_dir": output,
        "model_path": None if output is None else f"{output}/model",
        **told_failure(job.kind, job.status, job.error_code, job.error or run.error),
        "created_at": time_of(job.created_at),
        "updated_at": time_of(job.ended_at or run.updated_at),
    }


def _guess_s(config: TrainingConfig, check: DataCheck) -> float:
    """About how long a training takes on two processors: it begins, it passes over the rows."""
    rows_per_s = 20_000.0 if config.training.backbone is None else 15.0
    return 20.0 + check.rows * (config.training.num_epochs or 15) / rows_per_s
