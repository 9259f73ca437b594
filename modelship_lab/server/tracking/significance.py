"""Whether one run's model is better than another's, judged on the same held-out samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from modelship_lab.records.errors import Conflict, InvalidData
from modelship_lab.records.evaluation import Significance

FILE = "predictions.arrow"
"""The artifact with what a run's model answers for its held-out samples."""
RESAMPLES = 10_000
AT_ONCE = 2_000_000
"""Random numbers that are drawn at a time."""
MANY = 10_000
"""From so many rows on, a mean of them is as good as normally distributed, and need not be drawn row by row."""


def significance(run_id: int, file: Path, other_id: int, other_file: Path) -> Significance:
    """Compare two runs by their files `FILE`, of the same kind of model. Takes time: call it off the event loop.

    Raises:
        InvalidData: one of the files is none that a training has written.
        Conflict: they predict other things, or no held-out sample is the same.
    """
    one, two = _table(run_id, file), _table(other_id, other_file)
    if one.schema.field("actual").type != two.schema.field("actual").type:
        raise Conflict(f"Runs {run_id} and {other_id} predict different things: they cannot be compared.")
    one, two = one.sort_by("sample_id"), two.sort_by("sample_id")
    ids, others = one["sample_id"].to_numpy(), two["sample_id"].to_numpy()
    _, here, there = np.intersect1d(ids, others, assume_unique=True, return_indices=True)
    one, two = one.take(here), two.take(there)
    actual, actual_two = one["actual"].to_pylist(), two["actual"].to_pylist()
    same = np.array([left == right for left, right in zip(actual, actual_two, strict=True)], bool)
    if not same.any():
        raise Conflict(
            f"No held-out sample of run {run_id} is one of run {other_id}'s: there is nothing to compare."
        )
    metric, scores, other_scores = _scores(one.filter(same), two.filter(same))
    differences = other_scores - scores
    drawn = _resampled(differences)
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Significance(
        run=run_id,
        other=other_id,
        metric=metric,
        rows=int(same.sum()),
        only_run=len(ids) - len(here),
        only_other=len(others) - len(there),
        changed=int((~same).sum()),
        score=float(scores.mean()),
        other_score=float(other_scores.mean()),
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        p_value=float(min(1.0, 2 * (tail + 1) / (RESAMPLES + 1))),
    )


def _table(run_id: int, file: Path) -> pa.Table:
    try:
        with pa.OSFile(str(file)) as source:
            table = pa.ipc.open_file(source).read_all()
        return table.select(["sample_id", "actual", "predicted"])
    except (pa.ArrowException, KeyError):
        raise InvalidData(f"The artifact '{FILE}' of run {run_id} is not what a training writes.") from None


def _scores(one: pa.Table, two: pa.Table) -> tuple[str, Any, Any]:
    if pa.types.is_floating(one.schema.field("actual").type):
        actual = one["actual"].to_numpy()
        errors = [np.abs(table["predicted"].to_numpy() - actual) for table in (one, two)]
        return "mae", errors[0], errors[1]
    right = []
    for table in (one, two):
        pairs = zip(table["actual"].to_pylist(), table["predicted"].to_pylist(), strict=True)
        right.append(np.array([actual == predicted for actual, predicted in pairs], float))
    return "accuracy", right[0], right[1]


def _resampled(differences: Any) -> Any:
    """The mean difference in each of many samples of as many rows, drawn with replacement."""
    random = np.random.default_rng(0)
    values, counts = np.unique(differences, return_counts=True)
    rows = len(differences)
    if len(values) <= 16:
        # Right or wrong: how often each value is drawn is all that matters.
        return random.multinomial(rows, counts / rows, RESAMPLES) @ values / rows
    if rows >= MANY:
        return random.normal(differences.mean(), differences.std() / np.sqrt(rows), RESAMPLES)
    each = max(1, AT_ONCE // rows)
    means = [
        differences[random.integers(0, rows, (min(each, RESAMPLES - start), rows))].mean(1)
        for start in range(0, RESAMPLES, each)
    ]
    return np.concatenate(means)
