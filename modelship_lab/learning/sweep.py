"""Sweep the options of a recipe: every trial trains on the same snapshot."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelship_lab.client.sweeps.plan import Plan
from modelship_lab.client.sweeps.space import Range, Space
from modelship_lab.client.sweeps.sweep import Sweep, find
from modelship_lab.client.sweeps.sweep import start as start_sweep
from modelship_lab.learning.train import snapshot_of
from modelship_lab.records.errors import Interrupted, InvalidInput
from modelship_lab.records.recipes import Recipe, recipe_named, recipe_of_task

if TYPE_CHECKING:
    from modelship_lab.client import Lab, ProjectHandle, RunHandle, SnapshotData
    from modelship_lab.records.metrics import Mode

__all__ = ["METRICS", "start"]

METRICS: "dict[str, Mode]" = {"val_loss": "min", "val_accuracy": "max", "val_f1": "max"}
"""What trials can be compared by, and which end of it is best. Rows for the test are none to choose by."""


def start(
    lab: "Lab",
    project: "ProjectHandle | str | int",
    recipe: str | None = None,
    space: Mapping[str, Any] | None = None,
    *,
    metric: str = "val_loss",
    mode: "Mode | None" = None,
    name: str = "",
    snapshot: "SnapshotData | int | None" = None,
    tags: Iterable[str] = (),
    resume: "bool | int | RunHandle" = False,
    **plan: Any,
) -> Sweep:
    """Start a sweep over options of a recipe and return it at once; threads of this process go on with it.

    The value of a trial is that of its best epoch.

    Args:
        lab: where the project is.
        project: its name or id, or a handle.
        recipe: a name of `records.recipes.RECIPES`; default: the one for the project's task.
        space: for each option what is tried, as in `lab.sweep`.
        metric: one of `METRICS`.
        mode: default: as is meant by the metric.
        name: of the sweep; default: the recipe's and "sweep".
        snapshot: what to train on, or its id; default: that of the sweep that is resumed, or a new one of the
            labels as they are now.
        tags: of the sweep's run.
        resume: as in `lab.sweep`.
        plan: `sampler`, `trials`, `parallel`, `timeout_s`, `pruner`, `seed` and `max_failures` of `lab.sweep`.

    Raises:
        InvalidInput: no such recipe, option, metric or sampler.
        InvalidData: too few labels to train and test on; says what to label.
        Conflict: the sweep to go on with is over another space, or goes on elsewhere.
        MissingDependency: Optuna is needed and not installed.
    """
    handle = lab.project(project) if isinstance(project, str | int) else project
    task = handle.record.require_task()
    chosen = recipe_named(recipe, task) if recipe else recipe_of_task(task)
    if metric not in METRICS:
        raise InvalidInput(f"A recipe is swept by {', '.join(METRICS)}, not by {metric!r:.60}.")
    checked = Plan(
        name or f"{chosen.name} sweep",
        _space(chosen, space or {}),
        metric,
        mode=mode or METRICS[metric],
        **plan,
    )
    earlier = find(lab, checked, handle.id, resume)
    if snapshot is None and earlier is not None:
        snapshot = earlier.snapshot_id
    data = snapshot_of(lab, handle, snapshot)

    def objective(run: "RunHandle", params: dict[str, Any]) -> float | None:
        # Here, because loading torch and Lightning takes seconds that the notebook's cell need not wait.
        from modelship_lab.learning.fit import fit

        options = chosen.checked(params)
        run.log_params(options.model_dump())
        try:
            result = fit(run, data, chosen.name, options, run.stop_event)
        except Interrupted:
            return None
        run.set_summary(result.summary)
        return result.checkpoint.figures.get(metric)

    settings = {"recipe": chosen.name, "snapshot_id": data.info.id}
    return start_sweep(
        lab,
        objective,
        checked,
        project=handle.id,
        tags=tags,
        resume=earlier.id if earlier is not None else False,
        wait=False,
        settings=settings,
        trial_settings=settings,
    )


def _space(recipe: Recipe, parameters: Mapping[str, Any]) -> Space:
    """The space, if the recipe takes everything in it; a range of whole numbers where the option is one."""
    ends = {name: [one.low, one.high] for name, one in parameters.items() if isinstance(one, Range)}
    space = Space(parameters)
    for name, values in (space.choices | ends).items():
        for value in values:
            recipe.checked({**space.constants, name: value})

    def is_whole(name: str, value: float) -> bool:
        return isinstance(getattr(recipe.checked({**space.constants, name: value}), name), int)

    return Space(
        {
            name: replace(one, integer=is_whole(name, one.low)) if isinstance(one, Range) else one
            for name, one in parameters.items()
        }
    )
