"""Train in a thread of this process: the call returns at once, the run goes on beside the notebook."""

import atexit
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from modelship_lab.client.exchange.mirror import Mirror
from modelship_lab.learning.progress import STATE, Progress
from modelship_lab.learning.split import check_counts, check_numbers, check_trainable
from modelship_lab.records.errors import Interrupted, InvalidInput, LabError, NotFound
from modelship_lab.records.recipe_options import RecipeOptions
from modelship_lab.records.recipes import RECIPES, Recipe, recipe_named, recipe_of_task
from modelship_lab.records.tracking import Run

if TYPE_CHECKING:
    from pathlib import Path

    from modelship_lab.client import Lab, ProjectHandle, RunHandle, SnapshotData

__all__ = ["execute", "fail", "resume", "snapshot_of", "start", "wait"]

STOP_PATIENCE_S = 60.0
EXIT_PATIENCE_S = 4.0
"""Jupyter kills a kernel that takes longer to end."""

_going_on: dict[threading.Thread, "RunHandle"] = {}


def start(
    lab: "Lab",
    project: "ProjectHandle | str | int",
    recipe: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    snapshot: "SnapshotData | int | None" = None,
    name: str = "",
    tags: Iterable[str] = (),
    on_progress: "Callable[[Progress], None] | None" = None,
    state: bytes | None = None,
    output: "Path | None" = None,
) -> "RunHandle":
    """Start training a recipe and return the run at once.

    What can be refused is refused here, before there is a run; what goes wrong later marks the run as
    failed with a message, and its artifact `traceback.txt` has the details.

    Args:
        lab: where the project is.
        project: its name or id, or a handle.
        recipe: a name of `records.recipes.RECIPES`; default: the one for the project's task.
        options: of the recipe; defaults for what is left out.
        snapshot: what to train on, or its id; default: a new one of the labels as they are now.
        name: of the run; default: the recipe's.
        tags: of the run.
        on_progress: called in the training thread at every step; must not take long.
        state: the content of a file `STATE`, to go on from there.
        output: a folder for checkpoints, as in `fit.fit`.

    Raises:
        InvalidInput: no such recipe or option, or a snapshot of another project.
        InvalidData: too few labels to train and test on; says what to label.
    """
    handle = lab.project(project) if isinstance(project, str | int) else project
    task = handle.record.require_task()
    chosen = recipe_named(recipe, task) if recipe else recipe_of_task(task)
    checked = chosen.checked(options or {})
    snapshot = snapshot_of(lab, handle, snapshot)
    run = lab.start_run(
        name or chosen.name,
        project=handle.id,
        recipe=chosen.name,
        params=checked.model_dump(),
        tags=tags,
        snapshot_id=snapshot.info.id,
    )
    _in_thread(run, execute, run, snapshot, chosen, checked, on_progress, state, output)
    return run


def resume(
    lab: "Lab",
    run: "RunHandle | int",
    *,
    on_progress: "Callable[[Progress], None] | None" = None,
) -> "RunHandle":
    """Go on with a training that was stopped or interrupted, from its last saved state, and return the run at once.

    It ends with the same weights as if it had never been interrupted. One that has no state yet begins anew.

    Args:
        lab: where the run is.
        run: of a recipe, or its id.
        on_progress: as in `start`.

    Raises:
        NotFound: there is no such run.
        InvalidInput: it is no run of a recipe.
        Conflict: it goes on in another process.
    """
    earlier = lab.run(run if isinstance(run, int) else run.id)
    record = earlier.record
    if record.recipe not in RECIPES or record.snapshot_id is None:
        raise InvalidInput(
            f"Run {record.id} was not trained by a recipe: there is nothing to go on with. A module of your own goes on "
            "by `project.train(module=..., resume=run)`."
        )
    recipe = RECIPES[record.recipe]
    known = {name: value for name, value in record.params.items() if name in recipe.options.model_fields}
    options = recipe.checked(known)
    try:
        state = earlier.artifact(STATE)
    except NotFound:
        state = None
    snapshot = lab.snapshot(record.snapshot_id)
    resumed = lab.resume_run(record.id)
    _in_thread(resumed, execute, resumed, snapshot, recipe, options, on_progress, state)
    return resumed


def begin(run: "RunHandle", work: Callable[[], Mapping[str, float]]) -> None:
    """Do the work of a run in a thread; the run ends with the figures that come out, or failed."""
    _in_thread(run, _end_by, run, work)


def _in_thread(run: "RunHandle", target: Callable[..., object], *arguments: Any) -> None:
    thread = threading.Thread(
        target=target,
        args=arguments,
        name=f"mlship-train-{run.id}",
        # A kernel that is shut down must not wait for hours; `_stop_all` ends training cleanly.
        daemon=True,
    )
    _going_on[thread] = run
    thread.start()


def snapshot_of(
    lab: "Lab", project: "ProjectHandle", snapshot: "SnapshotData | int | None"
) -> "SnapshotData":
    """What is trained on: the snapshot that was named, or a new one of the labels as they are now.

    Raises:
        InvalidInput: a snapshot of another project.
        InvalidData: too few labels to train and test on; says what to label.
    """
    if snapshot is None:
        progress = project.progress()
        # Asked first, so that a refusal does not leave a snapshot that nobody wanted.
        if project.record.kind == "number":
            check_numbers(progress.labeled)
        else:
            check_counts(
                dict.fromkeys(project.record.classes, 0) | progress.by_class,
                least_classes=1 if project.record.kind == "labels" else 2,
            )
        snapshot = project.snapshot()
    elif isinstance(snapshot, int):
        snapshot = lab.snapshot(snapshot)
    if snapshot.info.project_id != project.id:
        raise InvalidInput(f"Snapshot {snapshot.info.id} belongs to another project than {project.name}.")
    check_trainable(snapshot.info)
    return snapshot


def wait(run: "RunHandle", timeout_s: float | None = None) -> Run:
    """Wait for a run; an interrupt stops it cleanly, with a checkpoint, and then returns it.

    Args:
        run: started by this process or another.
        timeout_s: longest wait.
    """
    try:
        return run.wait(timeout_s)
    except KeyboardInterrupt:
        run.stop()
        return run.wait(STOP_PATIENCE_S)


def execute(
    run: "RunHandle",
    snapshot: "SnapshotData",
    recipe: Recipe,
    options: RecipeOptions,
    on_progress: "Callable[[Progress], None] | None",
    resume: bytes | None = None,
    output: "Path | None" = None,
) -> Exception | None:
    """Train, and end the run as that went; returns what it failed with, if it did.

    Args:
        run: of this process.
        snapshot: what to train on.
        recipe: how.
        options: of the recipe.
        on_progress: as in `start`.
        resume: the content of a run's artifact `STATE`, to go on from there.
        output: a folder for checkpoints, as in `fit.fit`.
    """

    def work() -> Mapping[str, float]:
        # Here, because loading torch and Lightning takes seconds that the notebook's cell need not wait.
        from modelship_lab.learning.fit import fit
        from modelship_lab.learning.training_state import TrainingState

        result = fit(
            run,
            snapshot,
            recipe.name,
            options,
            run.stop_event,
            on_progress or (lambda progress: None),
            resume=None if resume is None else TrainingState.from_bytes(resume),
            output=output,
        )
        if options.folds < 2 or result.stopped:
            return result.summary
        from modelship_lab.learning.cross_validation import cross_validate

        return result.summary | cross_validate(run, snapshot, recipe, options)

    return _end_by(run, work)


def _end_by(run: "RunHandle", work: Callable[[], Mapping[str, float]]) -> Exception | None:
    mirror = Mirror(run)
    try:
        run.finish(dict(work()))
    except Interrupted:
        run.finish()
    except BaseException as error:
        # Whatever it was, the run must not look as if it went on.
        fail(run, error)
        if not isinstance(error, Exception):
            raise
        return error
    finally:
        mirror.complete()
        _going_on.pop(threading.current_thread(), None)
    return None


def fail(run: "RunHandle", error: BaseException) -> None:
    """End a run as failed, with what went wrong in words, and where as an artifact."""
    message = (
        error.message
        if isinstance(error, LabError)
        else f"Training failed with {type(error).__name__}: {str(error).strip() or 'no message'}. "
        "The artifact traceback.txt says where."
    )
    try:
        run.save_artifact("traceback.txt", "".join(traceback.format_exception(error)), "text/plain")
    finally:
        run.fail(message)


@atexit.register
def _stop_all() -> None:
    """Give what is still training the time to save its best weights."""
    threads = list(_going_on.items())
    for _, run in threads:
        run.stop_event.set()
    for thread, _ in threads:
        thread.join(EXIT_PATIENCE_S / len(threads))
