"""Cross-validation: the same recipe trained several times, each time tested on another part of the rows."""

from typing import TYPE_CHECKING

import numpy as np

from modelship_lab.learning.fit import fit
from modelship_lab.learning.objectives import objective_of
from modelship_lab.learning.samples import Samples
from modelship_lab.learning.split import folds
from modelship_lab.records.errors import Interrupted
from modelship_lab.records.recipe_options import RecipeOptions
from modelship_lab.records.recipes import Recipe

if TYPE_CHECKING:
    from modelship_lab.client import RunHandle, SnapshotData

__all__ = ["cross_validate"]


def cross_validate(
    run: "RunHandle", snapshot: "SnapshotData", recipe: Recipe, options: RecipeOptions
) -> dict[str, float]:
    """Train and test a model for each fold, in a run nested in the given one.

    Every row is tested on once, and trained on or validated with in all other folds.

    Args:
        run: of this process; a stop of it ends the fold that goes on, and there is no next one.
        snapshot: what to train on.
        recipe: how.
        options: with `folds` of at least 2.

    Returns:
        Of each figure of the tests the mean over the folds, `cv_accuracy`, and the standard deviation,
        `cv_accuracy_spread`; and how many `folds` there were.
    """
    samples = Samples.of_snapshot(snapshot)
    objective = objective_of(snapshot.info)
    fold_of = folds(
        objective.strata(objective.targets(samples.table)), samples.ids, options.folds, options.seed
    )
    found: list[dict[str, float]] = []
    record = run.record
    for fold in range(options.folds):
        if run.stop_event.is_set():
            break
        name = f"{record.name or recipe.name} fold {fold + 1}"
        params = {**options.model_dump(), "fold": fold + 1}
        child = run.lab.start_run(
            name,
            project=record.project_id,
            recipe=recipe.name,
            params=params,
            snapshot_id=snapshot.info.id,
            parent=run,
            system_metrics=False,
            source=False,
        )
        given = ["test" if each == fold else None for each in fold_of.tolist()]
        try:
            result = fit(child, snapshot, recipe.name, options, run.stop_event, given=given)
        except Interrupted:
            child.finish()
            break
        except BaseException as error:
            child.fail(error)
            raise
        child.finish(result.summary)
        if not result.stopped:
            found.append(result.summary)
    figures = {"folds": float(len(found))}
    for name in (
        name for name in (found[0] if found else ()) if name.startswith("test_") and name != "test_rows"
    ):
        values = [each[name] for each in found]
        figures[f"cv_{name.removeprefix('test_')}"] = float(np.mean(values))
        figures[f"cv_{name.removeprefix('test_')}_spread"] = float(np.std(values, ddof=len(values) > 1))
    return figures
