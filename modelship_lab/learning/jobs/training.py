"""Train a model in the background, as a notebook does in its kernel: the same fit, client and spool."""

import contextlib
import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelship_lab.learning import train
from modelship_lab.learning.encoders import encoder_folder
from modelship_lab.learning.jobs.lab_job import PATIENCE_S, LabJob
from modelship_lab.learning.progress import STATE, Progress
from modelship_lab.learning.split import check_trainable
from modelship_lab.records.base import Task
from modelship_lab.records.errors import LabError, NotFound, TrainingFailed
from modelship_lab.records.jobs import JobProgress
from modelship_lab.records.recipe_options import RecipeOptions, TextEncoderOptions
from modelship_lab.records.recipes import RECIPES, Recipe, recipe_named, recipe_of_task

if TYPE_CHECKING:
    # torch takes seconds to load, in which nobody need wait for a refusal.
    from modelship_lab.client import RunHandle

log = logging.getLogger(__name__)

_TOLD = ("train_loss", "val_loss", "val_accuracy", "val_f1")


def run(job: LabJob) -> dict[str, Any]:
    """Train what the order says, on its snapshot, and log to its run.

    Raises:
        LabError: it failed; the run says more.
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
        state = _state(run, order["resume"])
        # What needs no torch to be refused is refused before that is loaded.
        check_trainable(snapshot.info)
        recipe, options = _chosen(run, order, snapshot.info.task)
        run.set_recipe(recipe.name)
        run.log_params(options.model_dump())
        if isinstance(options, TextEncoderOptions):
            encoder_folder(options.encoder)
    except BaseException as error:
        train.fail(run, error)
        raise
    log.info("Training %s on snapshot %d: %d rows", recipe.name, snapshot.info.id, snapshot.info.rows)
    telling = _Telling(job)
    run.observe(telling.hear)
    output = Path(order["output"]) if order["output"] else None
    failure = train.execute(run, snapshot, recipe, options, telling.tell, state, output)
    # The run's end is behind all that was logged: once it has arrived, everything has.
    if not run.flush(PATIENCE_S):
        log.warning("The lab server did not come back: what was logged waits for the next client.")
    record = run.record
    if record.status == "failed":
        raise failure if isinstance(failure, LabError) else TrainingFailed(record.error)
    log.info("Run %d is %s", run.id, record.status)
    return {"run_id": run.id, "status": record.status, "stopped": record.status == "stopped"}


def _state(run: "RunHandle", resume: int | str | None) -> bytes | None:
    """Where training goes on; None: at its beginning, also for a run that ended before it had a state."""
    if isinstance(resume, str):
        try:
            return (Path(resume) / STATE).read_bytes()
        except OSError:
            raise NotFound(f"The folder {Path(resume).name} has no file {STATE} to go on from.") from None
    try:
        return None if resume is None else run.artifact(STATE)
    except NotFound:
        return None


def _chosen(run: "RunHandle", order: Mapping[str, Any], task: Task) -> tuple[Recipe, RecipeOptions]:
    """How to train: as is ordered, or as the run or checkpoint that is gone on with was begun."""
    name, options = order["recipe"], order["options"]
    if isinstance(order["resume"], int) and run.record.recipe in RECIPES:
        recipe = RECIPES[run.record.recipe]
        params = run.record.params
        return recipe, recipe.checked(
            {key: params[key] for key in recipe.options.model_fields if key in params}
        )
    if isinstance(order["resume"], str):
        from modelship_lab.learning.checkpoint import NAME, Checkpoint

        with contextlib.suppress(OSError):
            earlier = Checkpoint.from_bytes((Path(order["resume"]) / NAME).read_bytes())
            name = name or earlier.recipe.name
            if name == earlier.recipe.name:
                options = {**earlier.options.model_dump(), **options}
    recipe = recipe_named(name, task) if name else recipe_of_task(task)
    return recipe, recipe.checked(options)


def keep(job: LabJob) -> None:
    """Put the model into the folder that the order names, from what the run has of it."""
    if job.order["output"]:
        write_model(job.lab.run(job.order["run_id"]), Path(job.order["output"]))


def write_model(run: "RunHandle", folder: Path) -> None:
    """Write the model of a run to the folder `model` in a training's folder."""
    from modelship_lab.learning.checkpoint import NAME

    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    for name in (NAME, "evaluation.json"):
        # One that was stopped before its first step has neither.
        with contextlib.suppress(NotFound):
            (model / name).write_bytes(run.artifact(name))
    about = {"run_id": run.id, "project": run.record.project, "recipe": run.record.recipe}
    (model / "run.json").write_text(json.dumps(about))


class _Telling:
    """How far a training is, as the job tells it."""

    def __init__(self, job: LabJob) -> None:
        self._job = job
        self._began_at_s: float | None = None
        self._last = JobProgress(progress=0)
        self._figures: dict[str, float | None] = {}

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
            figures=dict(self._figures),
        )
        self._job.tell(self._last)

    def hear(self, metrics: Mapping[str, Any], step: int | None, context: Any) -> None:
        """Of everything that is logged: the figures of an epoch are told in the job's log, too."""
        known = {} if context else {name: float(metrics[name]) for name in _TOLD if name in metrics}
        if not known:
            return
        self._figures |= {name: value if math.isfinite(value) else None for name, value in known.items()}
        if "val_loss" in known:
            told = ", ".join(
                f"{name} {value:.4f}" for name, value in self._figures.items() if value is not None
            )
            log.info("%s: %s", self._last.message or "validation", told)
            self._last = self._last.model_copy(update={"figures": dict(self._figures)})
            self._job.tell(self._last, now=True)
