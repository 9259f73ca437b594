"""Train a model in the background, as a notebook does in its kernel: the same fit, client and spool."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelship_lab.learning import train
from modelship_lab.learning.checkpoint import NAME
from modelship_lab.learning.fit import Progress
from modelship_lab.learning.jobs.lab_job import PATIENCE_S, LabJob
from modelship_lab.learning.recipes import recipe_named, recipe_of_task
from modelship_lab.records.errors import TrainingFailed
from modelship_lab.records.jobs import JobProgress

log = logging.getLogger(__name__)

_TOLD = ("val_loss", "val_accuracy", "val_f1")


def run(job: LabJob) -> dict[str, Any]:
    """Train what the order says, on its snapshot, and log to its run.

    Raises:
        TrainingFailed: it failed; the run says more.
    """
    order = job.order
    job.tell(JobProgress(progress=0, message="preparing"), now=True)
    run = job.lab.resume_run(order["run_id"], source=False)
    log.info("Run %d: preparing", run.id)
    if job.stop.is_set():
        run.stop_event.set()
    # What the signal sets from here on is what training looks at.
    job.stop = run.stop_event
    try:
        snapshot = job.lab.snapshot(order["snapshot_id"])
        task = snapshot.info.task
        recipe = recipe_named(order["recipe"], task) if order["recipe"] else recipe_of_task(task)
        options = recipe.checked(order["options"])
        run.set_recipe(recipe.name)
        run.log_params(options.model_dump())
    except BaseException as error:
        train.fail(run, error)
        raise
    log.info("Training %s on snapshot %d: %d rows", recipe.name, snapshot.info.id, snapshot.info.rows)
    telling = _Telling(job)
    run.observe(telling.hear)
    train.execute(run, snapshot, recipe, options, telling.tell)
    # The run's end is behind all that was logged: once it has arrived, everything has.
    if not run.flush(PATIENCE_S):
        log.warning("The lab server did not come back: what was logged waits for the next client.")
    record = run.record
    if record.status == "failed":
        raise TrainingFailed(record.error)
    if order["output"]:
        _write(run, Path(order["output"]))
    log.info("Run %d is %s", run.id, record.status)
    return {"run_id": run.id, "status": record.status, "stopped": record.status == "stopped"}


def _write(run: Any, folder: Path) -> None:
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    for name in (NAME, "evaluation.json"):
        (model / name).write_bytes(run.artifact(name))
    about = {"run_id": run.id, "project": run.record.project, "recipe": run.record.recipe}
    (model / "run.json").write_text(json.dumps(about))


class _Telling:
    """How far a training is, as the job tells it."""

    def __init__(self, job: LabJob) -> None:
        self._job = job
        self._began_at_s: float | None = None
        self._last = JobProgress(progress=0)

    def tell(self, progress: Progress) -> None:
        """Called at every step."""
        if progress.stage != "training":
            share = 0.99 if progress.stage == "evaluating" else 0.0
            changed = {"progress": share, "message": progress.stage, "remaining_s": None}
            self._job.tell(self._last.model_copy(update=changed), now=True)
            return
        moment = time.monotonic()
        if self._began_at_s is None:
            self._began_at_s, self._first_step = moment, progress.step
        done = progress.step - self._first_step
        left = progress.steps - progress.step
        self._last = JobProgress(
            # Preparing and evaluating take some time, too.
            progress=min(0.01 + 0.98 * progress.step / max(progress.steps, 1), 1.0),
            message=f"epoch {progress.epoch} of {progress.epochs}",
            epoch=progress.epoch,
            epochs=progress.epochs,
            step=progress.step,
            steps=progress.steps,
            remaining_s=(moment - self._began_at_s) / done * left if done > 0 else None,
        )
        self._job.tell(self._last)

    def hear(self, metrics: Mapping[str, Any], step: int | None, context: Any) -> None:
        """Of everything that is logged: the figures of an epoch are told in the job's log."""
        if "val_loss" in metrics and not context:
            told = ", ".join(f"{name} {float(metrics[name]):.4f}" for name in _TOLD if name in metrics)
            log.info("%s", told)
